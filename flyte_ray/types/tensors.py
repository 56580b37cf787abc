"""Tensors and state dicts of torch, stored as `torch.save` writes them and read without unpickling anything else.

A state dict is one object, not one for each of its tensors. What was on an accelerator comes back to it where there is
one, else to the CPU.
"""

from __future__ import annotations

import base64
import copy
import hashlib
import io
import sys
from collections.abc import Iterator
from typing import IO, Any, Final

from flyte_ray.types.form import Build, Form, MismatchError
from flyte_ray.types.large import INLINE_BYTES
from flyte_ray.types.marks import TORCH_MARK
from flyte_ray.types.place import Blobs

_INLINE: Final = INLINE_BYTES // 2


def tensor_form(cls: Any, build: Build) -> Form | None:
    """Describe `torch.Tensor` and its subclasses; None if the class is none."""
    torch = sys.modules.get("torch")
    if torch is None or not hasattr(torch, "Tensor") or not isinstance(cls, type) or not issubclass(cls, torch.Tensor):
        return None

    def check(value: Any) -> None:
        if not isinstance(value, cls):
            raise MismatchError(f"torch.{cls.__name__}", value)

    return Form(f"torch.{cls.__name__}", check, dump_tensors, load_tensors, "object", frozenset({cls}), told=True)


def is_state(value: Any) -> bool:
    """Tell a dict of tensors under names."""
    torch = sys.modules.get("torch")
    if torch is None or not value or not hasattr(torch, "Tensor"):
        return False
    return all(isinstance(part, torch.Tensor) for part in value.values()) and all(type(key) is str for key in value)


def dump_tensors(value: Any, blobs: Blobs) -> Any:
    """Store a tensor or a state dict."""
    value = _compact(value)
    size = sum(tensor.nbytes if _is_dense(tensor) else INLINE_BYTES for tensor in _tensors(value))
    if size <= _INLINE:
        file = io.BytesIO()
        _save(value, file)
        return {TORCH_MARK: base64.b64encode(file.getbuffer()).decode()}
    digest = _digest(value)
    uri = blobs.put_written(lambda file: _save(value, file), ".pt", digest[:32])
    return {TORCH_MARK: {"uri": uri, "bytes": size, "digest": digest}}


def load_tensors(raw: dict[str, Any], blobs: Blobs) -> Any:
    """Rebuild what `dump_tensors` was given."""
    import torch  # who has stored it had imported it

    held = raw[TORCH_MARK]
    where = None if torch.cuda.is_available() else "cpu"
    path = blobs.local_path(held["uri"]) if isinstance(held, dict) else None
    if path is not None:
        return torch.load(path, map_location=where, weights_only=True)
    data = blobs.get(held["uri"]) if isinstance(held, dict) else base64.b64decode(held)
    return torch.load(io.BytesIO(data), map_location=where, weights_only=True)


def _save(value: Any, file: IO[bytes]) -> None:
    import torch  # the value is of it

    torch.save(value, file)


def _compact(value: Any) -> Any:
    """Let go of what a tensor only looks at a part of: it would be stored with the whole."""
    if isinstance(value, dict):
        parts = {name: _compact(part) for name, part in value.items()}
        if all(part is value[name] for name, part in parts.items()):
            return value
        whole = copy.copy(value)  # a module's state has attributes of its own
        whole.update(parts)
        return whole
    is_part = _is_dense(value) and value.untyped_storage().nbytes() > value.nbytes
    return value.detach().clone().requires_grad_(value.requires_grad) if is_part else value


def _tensors(value: Any) -> Iterator[Any]:
    yield from value.values() if isinstance(value, dict) else (value,)


def _is_dense(tensor: Any) -> bool:
    import torch  # the value is of it

    return tensor.layout is torch.strided and not tensor.is_quantized


def _digest(value: Any) -> str:
    import torch  # the value is of it

    names = list(value) if isinstance(value, dict) else None
    found = hashlib.sha256(repr((type(value).__name__, names)).encode())
    for tensor in _tensors(value):
        about = type(tensor).__name__, str(tensor.dtype), tuple(tensor.shape), tensor.requires_grad
        # Where it is stands in what is stored: equal ones on two devices are two objects.
        found.update(repr(about if tensor.device.type == "cpu" else (*about, tensor.device.type)).encode())
        if _is_dense(tensor):
            plain = tensor.detach().cpu().resolve_conj().resolve_neg().contiguous()
            found.update(memoryview(plain.reshape(-1).view(torch.uint8).numpy()))
        else:
            file = io.BytesIO()
            torch.save(tensor, file)
            found.update(file.getbuffer())
    return found.hexdigest()

"""Build an app for a config file of Ray Serve: `import_path: flyte_ray.apps.production:build`.

For who deploys by such a file, as with `serve deploy` or KubeRay's RayService: code and software are the image's, the
file alone says what is served, and the root has no app on record.
"""

from __future__ import annotations

from typing import Any, Final

from flyte_ray.api.settings import current_store, init
from flyte_ray.apps.deploying import record_of
from flyte_ray.apps.local import Patience
from flyte_ray.apps.reference import load
from flyte_ray.errors import InvalidDeclaration

_KNOWN: Final = ("app", "root", "parameters", "env_vars")


def build(args: dict[str, Any]) -> Any:
    """Build a Serve `Application`.

    Args:
        args: Of the config file: `app`, the environment as `module:name`; `root`, the root's URI, by default
            `FLYTE_RAY_ROOT`; `parameters` and `env_vars`, which count in place of those declared.

    Raises:
        InvalidDeclaration: An argument is missing or unknown.
        CodeBundleError: The module holds no such app.
        ParameterMaterializationError: A parameter has no value.

    """
    unknown = [name for name in args if name not in _KNOWN]
    module, colon, name = str(args.get("app", "")).partition(":")
    if unknown or not colon:
        raise InvalidDeclaration(
            f"args of an application must have app: 'module:name', and may have root, parameters and env_vars, got"
            f" {args!r:.200}. Write app: serve.api:env."
        )
    if args.get("root"):
        init(args["root"])
    reference = {"module": module, "name": name}
    store = current_store()
    record = record_of(
        *(store, load(reference, args["app"]), reference),
        code=None,
        parameters=args.get("parameters") or {},
        env_vars=args.get("env_vars") or {},
        patience=Patience(),
    )
    from flyte_ray.cluster.serving import build_application  # imports ray, which runs by now

    return build_application(record, store)

"""Keep the secrets that clients bring for their runs, in the memory of the ledger and of the launcher.

They travel as messages of at most `MAX_BYTES`, which Ray hands on inside of a call: larger ones would go to its object
store, and from there perhaps to a disk. Not by the `runtime_env`, nor as an actor's own arguments, which Ray shows and
keeps. What nobody has brought (a trigger's run, one that was taken over, a task that was called by name) is looked for
where the ledger runs.
"""

from __future__ import annotations

from flyte_ray.errors import InvalidDeclaration, RuntimeUserError
from flyte_ray.runtime.given_secrets import NOT_GIVEN
from flyte_ray.runtime.secret_sources import find_secrets
from flyte_ray.spec.secret import load_secrets
from flyte_ray.storage import Store


class LentSecrets:
    """Values by the run that they were brought for."""

    def __init__(self) -> None:
        """Keep none yet."""
        self._values: dict[str, dict[str, bytes]] = {}

    def keep(self, of: str, values: dict[str, bytes]) -> None:
        """Keep them in the place of what was brought before."""
        self._values[of] = values

    def of(self, of: str) -> dict[str, bytes] | None:
        """Return what was brought; None for nothing."""
        return self._values.get(of)

    def all(self) -> list[tuple[str, dict[str, bytes]]]:
        """Return everything."""
        return list(self._values.items())

    def forget(self, run: str) -> None:
        """Forget what was brought for a run."""
        for of in [of for of in list(self._values) if of.partition(" ")[0] == run]:
            self._values.pop(of, None)


def lent_as(run: str, nonce: str) -> str:
    """Name for whom secrets are: by the nonce, so that who is refused a run's name replaces nothing of that run."""
    return f"{run} {nonce}"


def secrets_for(store: Store, lent: dict[str, bytes] | None, wanted: str) -> dict[str, bytes]:
    """Return the secrets that an environment asks for, those that were lent before those that are found here.

    Raises:
        RuntimeUserError: One is missing, or cannot be read.

    """
    secrets = load_secrets(wanted)
    found = {secret.name: lent[secret.name] for secret in secrets if lent and secret.name in lent}
    try:
        more, missing = find_secrets([secret for secret in secrets if secret.name not in found], store)
    except InvalidDeclaration as error:
        raise RuntimeUserError(NOT_GIVEN, str(error)) from None
    if missing:
        names = ", ".join(f"'{each.secret.name}'" for each in missing)
        raise RuntimeUserError(
            NOT_GIVEN,
            f"An environment asks for the secret {names}, which who started or continued the run has not brought, and"
            f" which the ledger did not find in {missing[0].looked}. Name its environment in depends_on of the one of"
            f" the run's first task, or set it where the ledger runs, or keep it: flyte-ray create secret"
            f" {missing[0].secret.name}",
        )
    return {**more, **found}

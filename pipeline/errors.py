"""Everything a user can act on.

AssayError
├── ConfigError          project.yaml, a template or a label configuration is wrong
├── SourceError          an export, a task or an annotation cannot be read
├── LabelStudioError     the server answered with an error
│   ├── Unreachable      no answer: worth trying again
│   └── Unauthorized     the token is missing or wrong: trying again does not help
├── StoreError           the store cannot be read or written
│   ├── Missing          asked for something that was never published
│   ├── Damaged          a checksum does not match
│   └── Conflict         somebody else published first
├── CheckError           a check is not known, or its settings are wrong
├── GateClosed           the gate blocks: done, but nothing goes on from here
└── TrainingError        training or evaluation cannot be done with what there is

A message is one sentence that names what was wrong, where (file, key, task id), and what to do.
"""


class AssayError(Exception):
    """Base of all errors that the command line answers with one sentence and exit code 2."""

    transient = False


class ConfigError(AssayError):
    """project.yaml, a template or a label configuration is wrong."""


class SourceError(AssayError):
    """An export, a task or an annotation cannot be read."""


class LabelStudioError(AssayError):
    """Label Studio answered with an error."""


class Unreachable(LabelStudioError):
    """Label Studio did not answer."""

    transient = True


class Unauthorized(LabelStudioError):
    """Label Studio refused the token."""


class StoreError(AssayError):
    """The store cannot be read or written."""


class Missing(StoreError):
    """Asked for something that was never published."""


class Damaged(StoreError):
    """A published file's checksum does not match its manifest."""


class Conflict(StoreError):
    """Somebody else published this number first."""


class CheckError(AssayError):
    """A check is not known, or its settings are wrong."""


class GateClosed(AssayError):
    """The gate blocks; exit code 1, not 2: the run itself went well."""


class TrainingError(AssayError):
    """Training or evaluation cannot be done with what there is."""


def unknown(kind: str, name: str, known: object) -> str:
    """One sentence for an unknown name, listing the known ones and the nearest."""
    import difflib

    names = sorted(str(item) for item in known)  # type: ignore[attr-defined]
    near = difflib.get_close_matches(name, names, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return f"Unknown {kind} {name!r}.{hint} Known: {', '.join(names) or 'none'}."

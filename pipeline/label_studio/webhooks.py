"""Our webhook in Label Studio: one for a project, created or brought up to date, never doubled."""

from __future__ import annotations

from typing import Any

from pipeline.errors import ConfigError, LabelStudioError, Unauthorized
from pipeline.label_studio.connection import Connection, appeared, request
from pipeline.label_studio.failures import LostReply

# What changes a project's tasks or annotations. Label Studio sends nothing for a changed task, a prediction, or the
# annotations inside an import.
ACTIONS = (
    "TASKS_CREATED", "TASKS_DELETED", "ANNOTATION_CREATED", "ANNOTATIONS_CREATED", "ANNOTATION_UPDATED",
    "ANNOTATIONS_DELETED",
)  # fmt: skip
SECRET, PROJECT = "X-Assay-Secret", "X-Assay-Project"
PATH = "/api/webhooks/"


def register(connection: Connection, project_id: int, *, url: str, secret: str) -> dict[str, Any]:
    """Make the project's webhook be this one. Returns id, created (or else updated), and removed: how many doubles.

    Only the action's name is sent, no data of the project. A webhook is ours if it carries our headers, or has this address.
    Label Studio shows the headers, and so the secret, to everybody who may see the project's webhooks.

    ConfigError if Label Studio's guard refuses the address.
    """
    body = {
        "project": project_id,
        "url": url,
        "headers": {SECRET: secret, PROJECT: str(project_id)},
        "send_payload": False,
        "send_for_all_actions": False,
        "actions": list(ACTIONS),
        "is_active": True,
    }
    found = _ours(connection, project_id, url)
    if found:
        _write(connection, "PATCH", f"{PATH}{found[0]['id']}/", body)
    else:
        _create(connection, project_id, body)
    kept, *doubles = [hook["id"] for hook in _ours(connection, project_id, url)]
    for double in doubles:
        request(connection, "DELETE", f"{PATH}{double}/")
    return {"id": kept, "created": not found, "removed": len(doubles)}


def _ours(connection: Connection, project_id: int, url: str) -> list[dict[str, Any]]:
    """Oldest first: whoever else registers at the same time keeps the same one."""
    hooks: list[dict[str, Any]] = request(connection, "GET", PATH, params={"project": project_id})
    ours = [hook for hook in hooks if hook["url"] == url or PROJECT in (hook["headers"] or {})]
    return sorted(ours, key=lambda hook: int(hook["id"]))


def _create(connection: Connection, project_id: int, body: dict[str, Any]) -> None:
    try:
        _write(connection, "POST", PATH, body)
    except LostReply:
        if not appeared(lambda: bool(_ours(connection, project_id, body["url"]))):
            raise


def _write(connection: Connection, method: str, path: str, body: dict[str, Any]) -> None:
    try:
        request(connection, method, path, json=body)
    except LabelStudioError as error:
        if "resolve hostname" in str(error):  # a 500 there
            raise ConfigError(
                f"Label Studio at {connection.url} does not know the host of {body['url']}: mend --public-url."
            ) from error
        if not isinstance(error, Unauthorized) or "network address" not in str(error):
            raise
        raise ConfigError(
            f"Label Studio at {connection.url} refuses to send to {body['url']}, a private address: start it with "
            "LABEL_STUDIO_SSRF_PROTECTION_ENABLED=false, or, narrower, with LABEL_STUDIO_USE_DEFAULT_BANNED_SUBNETS=false and "
            "LABEL_STUDIO_USER_ADDITIONAL_BANNED_SUBNETS listing all networks but the receiver's; or give a public --public-url."
        ) from error

"""The one gate: every request passes it before MONAI Label sees it, or is answered here."""

from __future__ import annotations

import tempfile
from collections.abc import Collection
from typing import IO

import requests
from monailabel.interfaces.utils.app import app_instance
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, Headers, QueryParams
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.requests import Request as StarletteRequest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dualtask.errors import InputError, StorageError
from lib.dicom_server import DicomServerError
from lib.security.answers import answer, refused_by_disk, unreachable
from lib.security.audit import AuditTrail
from lib.security.checks import Request, check_request
from lib.security.identity import LOCAL_USER, Provider, authenticate, role_of, visitor
from lib.security.network import check_peer
from lib.security.routes import Body, Role, Route, find_route
from lib.security.settings import SecuritySettings

_SMALL_BODY = 2**20
"""Bytes of a body without files."""

_KEPT_IN_MEMORY = 2**20


class Gate:
    """ASGI middleware.

    Args:
        app: what comes after it.
        settings: see :class:`SecuritySettings`.
        origins: pages of other sites that may use the server.
        audit: where requests are recorded.
        provider: of identities; None while authentication is off.
    """

    def __init__(
        self,
        app: ASGIApp,
        settings: SecuritySettings,
        origins: Collection[str],
        audit: AuditTrail,
        provider: Provider | None,
    ) -> None:
        self.app = app
        self.settings = settings
        self.origins = origins
        self.audit = audit
        self.provider = provider

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] == "http":
            with tempfile.SpooledTemporaryFile(max_size=_KEPT_IN_MEMORY) as body:
                await _Visit(self, scope, receive, send, body).run()
        else:  # MONAI Label has no websockets
            await send({"type": "websocket.close", "code": 1008})


class _Visit:
    """One request on its way through the gate."""

    def __init__(self, gate: Gate, scope: Scope, receive: Receive, send: Send, body: IO[bytes]) -> None:
        self.gate, self.scope, self._receive, self._send, self.body = gate, scope, receive, send, body
        self.headers = Headers(scope=scope)
        self.user = LOCAL_USER if gate.provider is None else None
        self.route: Route | None = None
        self.studies: list[str] = []
        self.answered = False

    async def run(self) -> None:
        try:
            await self._admit()
        except ClientDisconnect:
            return
        except requests.RequestException:
            await self._refuse(unreachable())
        except (OSError, StorageError) as error:
            if (refusal := refused_by_disk(error)) is None:
                raise
            await self._refuse(refusal)
        except InputError as error:
            await self._refuse(HTTPException(502 if isinstance(error, DicomServerError) else 422, str(error)))
        except HTTPException as error:
            await self._refuse(error)
        else:
            await self.gate.app(self.scope, self._replay(), self.send)

    async def send(self, message: Message) -> None:
        """Send a part of the answer; its first part only once it is on record, and another answer if it cannot be."""
        if self.answered:
            return
        if message["type"] == "http.response.start" and (self.route is None or self.route.role > Role.ANYONE):
            client = self.scope["client"][0] if self.scope.get("client") else "local socket"
            action = self.route.name if self.route else "unknown route"
            user = self.user.username if self.user else "nobody"
            try:
                self.gate.audit.record(user, action, self.studies, message["status"], client)
            except OSError as error:
                if (refusal := refused_by_disk(error)) is None:
                    raise
                self.answered = True
                await answer(refusal)(self.scope, self._receive, self._send)
                return
        await self._send(message)

    async def _refuse(self, error: HTTPException) -> None:
        await answer(error)(self.scope, self._receive, self.send)

    async def _admit(self) -> None:
        provider = self.gate.provider
        check_peer(self.scope.get("client"), self.headers, self.gate.origins, provider is not None, self.gate.settings)
        found = find_route(self.scope["method"], self.scope["path"])
        if found is None:
            raise HTTPException(404, "There is no such route.")
        self.route, path = found
        if self.route.role is Role.ANYONE:
            self.user = visitor()
        elif provider is not None:
            self.user = await run_in_threadpool(authenticate, self.headers, provider)
            if role_of(self.user) < self.route.role:
                raise HTTPException(403, f"This needs the role of {self.route.role.name.lower()}: ask the operator.")
        if provider is None and self.route.signed_in_only:
            raise HTTPException(403, "This needs an administrator: turn authentication on (SECURITY.md).")
        self.scope.setdefault("state", {})["user"] = self.user
        await self._read_body(self.route)
        request = Request(
            self.route,
            path,
            QueryParams(self.scope["query_string"]),
            await self._form(self.route),
            self.body.read() if self.route.body is Body.JSON else b"",
        )
        self.studies = request.studies()
        if self.route.role > Role.ANYONE:
            try:
                await run_in_threadpool(check_request, app_instance(), request)
            finally:
                await request.form.close()
        if self.route.path.startswith("/proxy/"):
            self._keep_credentials_from_others()

    async def _read_body(self, route: Route) -> None:
        limit = self.gate.settings.upload_limit_mb * 2**20 if route.body.uploads else _SMALL_BODY
        size = 0
        async for block in StarletteRequest(self.scope, self._receive).stream():
            size += len(block)
            if size > limit:
                raise HTTPException(413, f"The request is larger than {limit // 2**20} MB: send less.")
            self.body.write(block)
        self.body.seek(0)

    async def _form(self, route: Route) -> FormData:
        if route.body not in (Body.FORM, Body.SCANS, Body.WEIGHTS):
            return FormData()
        try:
            return await StarletteRequest(self.scope, self._replay()).form()
        except Exception as error:  # whatever the parsers of forms raise, the form is to blame
            raise InputError("The form cannot be read: send multipart/form-data.") from error

    def _replay(self) -> Receive:
        """The body again from its beginning, for those who come after."""
        self.body.seek(0)
        ended = False

        async def receive() -> Message:
            nonlocal ended
            if ended:
                return await self._receive()
            block = self.body.read(_KEPT_IN_MEMORY)
            ended = not block
            return {"type": "http.request", "body": block, "more_body": not ended}

        return receive

    def _keep_credentials_from_others(self) -> None:
        """Remove what was sent to this server alone: MONAI Label forwards all headers to the DICOM server."""
        own = (b"authorization", b"cookie")
        self.scope["headers"] = [(name, value) for name, value in self.scope["headers"] if name.lower() not in own]

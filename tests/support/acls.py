"""A topic that a user may not write to, for as long as a test wants: a deny rule of Kafka's own authorizer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.admin import CreateAclsRequest, DeleteAclsRequest

TOPIC, LITERAL, WRITE, DENY = 2, 3, 4, 2
AUTHORIZER = {
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "super.users": "User:ANONYMOUS",  # the broker itself, and tests on its plain listener
    "allow.everyone.if.no.acl.found": "true",
}
"""Broker properties: everybody may do everything but what is denied."""


@asynccontextmanager
async def write_denied(bootstrap: str, topic: str, user: str) -> AsyncIterator[None]:
    """The user cannot write to the topic in the block; he can describe it. `bootstrap`: of the plain listener."""
    rule = (TOPIC, topic, LITERAL, f"User:{user}", "*", WRITE, DENY)
    response = await _ask(bootstrap, CreateAclsRequest(*rule))
    assert [code for code, _ in response.creation_responses] == [0], response
    try:
        # A topic with a rule is closed to all that no rule lets in.
        for operation in (3, 8, 10):
            await _ask(bootstrap, CreateAclsRequest(*rule[:5], operation, 3))
        yield
    finally:
        response = await _ask(bootstrap, DeleteAclsRequest(TOPIC, topic, LITERAL, f"User:{user}", "*", 1, 1))
        assert [code for code, *_ in response.filter_responses] == [0], response


async def _ask(bootstrap: str, request: Any) -> Any:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        return await admin._client.send(admin._client.get_random_node(), request)
    finally:
        await admin.close()

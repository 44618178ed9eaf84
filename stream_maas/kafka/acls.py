"""Access rights as the cluster has them, and what is wrong with them: who may change what the audit trail proves."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    NoError,
    SecurityDisabled,
    for_code,
)
from aiokafka.protocol.admin import DescribeAclsRequest

from stream_maas import topics
from stream_maas.errors import BrokerError
from stream_maas.kafka.link import bootstrap
from stream_maas.settings import KafkaConfig, TopicsConfig

_DESCRIBE_ACLS = 29
_ANY, _TOPIC, _PREFIXED, _ALL = 1, 2, 4, 2
_DENY, _ALLOW = 2, 3
_WRITE, _DELETE = 4, 6
_CHANGES = {6: "Delete", 7: "Alter", 11: "AlterConfigs"}
"""DeleteTopics and DeleteRecords are Delete, CreatePartitions is Alter."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One access rule of a topic, with Kafka's numbers."""

    name: str
    pattern: int
    principal: str
    host: str
    operation: int
    permission: int

    def covers(self, topic: str, operation: int) -> bool:
        """Whether it is about this operation on this topic."""
        if self.operation not in (operation, _ALL):
            return False
        if self.pattern == _PREFIXED:
            return topic.startswith(self.name)
        return self.name in (topic, "*")


async def describe_acls(config: KafkaConfig) -> list[Rule] | str:
    """All rules of topics, or why they cannot be seen: "not enforced" (no authorizer), "not visible" (no right to).

    Raises `BrokerError` for any other answer.
    """
    async with bootstrap(config) as link:
        if _DESCRIBE_ACLS not in await link.versions():
            return "not enforced"
    try:
        async with bootstrap(config) as link:
            answer = await link.ask(DescribeAclsRequest(_TOPIC, None, _ANY, None, None, _ANY, _ANY))
    except BrokerError:
        return "not enforced"  # the embedded broker advertises the request and closes the connection on it
    error = for_code(answer.error_code)
    if error is SecurityDisabled:
        return "not enforced"
    if error is ClusterAuthorizationFailedError:
        return "not visible"
    if error is not NoError:
        raise BrokerError(f"access rights cannot be read: {error.__name__}")
    return [
        Rule(name, pattern, principal, host, operation, permission)
        for _, name, pattern, rules in answer.resources
        for principal, host, operation, permission in rules
    ]


async def check_acls(config: KafkaConfig, names: TopicsConfig) -> tuple[list[str], str]:
    """(problems as sentences, "checked" or why nothing was)."""
    rules = await describe_acls(config)
    if isinstance(rules, str):
        return [], rules
    return problems_of(rules, names.prefix), "checked"


def problems_of(rules: Sequence[Rule], prefix: str) -> list[str]:
    """What contradicts the separation of duties that deploy/acls.sh sets up. Pure.

    A principal may what a rule allows and none denies. Super users pass over all rules, and are not in them.
    """

    def may(operation: int, topic: str) -> set[str]:
        return _effective(rules, operation, topic)

    problems: list[str] = []
    audit, checkpoints = topics.audit(prefix), topics.audit_checkpoints(prefix)
    cosignatures = topics.audit_cosignatures(prefix)
    for spec in topics.table(prefix):
        if spec.append_only:
            problems += _changers(spec.name, may, pruned=spec.name == audit)
    for topic, others in ((checkpoints, (audit,)), (cosignatures, (audit, checkpoints))):
        for other in others:
            problems += [
                f"{principal} may write both {topic} and {other}: who signs must not write what is signed; next: "
                "give each role its own principal, see deploy/acls.sh"
                for principal in sorted(may(_WRITE, topic) & may(_WRITE, other))
            ]
    return problems


def _changers(topic: str, may: Callable[[int, str], Collection[str]], *, pruned: bool) -> Iterable[str]:
    for operation in _CHANGES:
        found = sorted(may(operation, topic))
        if pruned and operation == _DELETE and len(found) == 1:
            continue  # the pruner
        for principal in found:
            yield (
                f"{principal} may {_CHANGES[operation]} on {topic}; next: take it away, only the pruner may Delete "
                "on the audit topic, see deploy/acls.sh"
            )


def _effective(rules: Iterable[Rule], operation: int, topic: str) -> set[str]:
    covering = [rule for rule in rules if rule.covers(topic, operation)]
    denied = {rule.principal for rule in covering if rule.permission == _DENY and rule.host == "*"}
    if "User:*" in denied:
        return set()
    return {rule.principal for rule in covering if rule.permission == _ALLOW} - denied

"""Opens a policy from a record, approves it, and cancels it: all by Temporal's Python SDK."""

import asyncio
import hashlib
import json
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from temporalio.client import (
    Client,
    WithStartWorkflowOperation,
    WorkflowFailureError,
    WorkflowHandle,
    WorkflowUpdateFailedError,
)
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.converter import DataConverter, DefaultFailureConverterWithEncodedAttributes
from temporalio.envconfig import ClientConfig
from temporalio.exceptions import ApplicationError, TemporalError
from temporalio.service import RPCError

from sealing import SealingCodec, SealingError, parse_keys

PATIENCE = 60


class Stuck(Exception):
    """The policy waits for a person."""


async def connect() -> Client:
    """Reads TEMPORAL_* as Temporal's own tools have them, and POLICY_SYNC_KEYS."""
    config = ClientConfig.load_client_connect_config()
    config.setdefault("target_host", "localhost:7233")
    return await Client.connect(**config, data_converter=data_converter())


def data_converter() -> DataConverter:
    keys = os.environ.get("POLICY_SYNC_KEYS")
    if keys is None:
        return DataConverter.default
    return replace(
        DataConverter.default,
        payload_codec=SealingCodec(parse_keys(keys), allow_plain=os.environ.get("POLICY_SYNC_ALLOW_PLAIN") == "1"),
        failure_converter_class=DefaultFailureConverterWithEncodedAttributes,
    )


class Policy:
    def __init__(self, temporal: Client, record: bytes) -> None:
        self._temporal = temporal
        self._record: dict[str, Any] = json.loads(record)
        self._digest = hashlib.sha256(record).hexdigest()
        self.number: str = self._record["policy"]["out_insurance_no"]
        self._workflow_id = f"policy/{self._record['mchid']}/{self.number}"

    @property
    def _handle(self) -> WorkflowHandle[Any, Any]:
        return self._temporal.get_workflow_handle(self._workflow_id)

    async def open(self) -> None:
        """Starts the policy's workflow and waits until its number is claimed. The same record again answers the same."""
        digest = {"digest": self._digest}
        start = WithStartWorkflowOperation(
            "policyLifecycle",
            args=[self._record, digest],
            id=self._workflow_id,
            task_queue="policy-sync",
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
        )
        answer = await self._temporal.execute_update_with_start_workflow(
            "open", digest, id=self._digest, start_workflow_operation=start
        )
        await self._answered("opened", answer)

    async def approve(self, policy_code: str) -> None:
        """The insurer has taken the risk. An `event_id` makes the message safe to send twice."""
        message = {"policy_code": policy_code, "event_id": f"approve-{self.number}"}
        await self._answered("approved", await self._handle.execute_update("approve", message))

    async def cancel(self, reason: str) -> None:
        """The user surrenders. A signal needs no worker to be taken, and has no answer."""
        message = {"cause": "SURRENDER", "reason": reason, "event_id": f"surrender-{self.number}"}
        await self._handle.signal("cancel", message)
        print(f"{self.number} cancelled: signal sent")
        await self._wait(lambda status: status["state"] == "INACTIVE" and status["sync"] == "SYNCED")

    async def _answered(self, what: str, answer: dict[str, Any]) -> None:
        """Prints the answer to an update, and waits until WeChat Pay holds its revision."""
        print(f"{self.number} {what}: {answer['outcome']}, revision {answer['revision']}")
        await self._wait(lambda status: status["synced_revision"] >= answer["revision"])

    async def _wait(self, done: Callable[[dict[str, Any]], bool]) -> None:
        """Asks for the status until it is as wanted, or waits for a person."""
        async with asyncio.timeout(PATIENCE):
            while not done(status := await self._handle.query("status")):
                if status["sync"] == "BLOCKED" and (block := status["block"]):
                    raise Stuck(f"{self.number} is BLOCKED: {block['code']} {block['message']}")
                if status["sync"] in ("DIVERGED", "STOPPED"):
                    raise Stuck(f"{self.number} is {status['sync']}: see `policy-sync show {self.number}`")
                await asyncio.sleep(0.5)
        print(f"{self.number} is {status['state']}, {status['sync']}")


async def live(file: str, policy_code: str) -> None:
    policy = Policy(await connect(), Path(file).read_bytes())
    await policy.open()
    await policy.approve(policy_code)
    await policy.cancel("asked for by the user")


def explained(error: BaseException) -> str:
    """One line. A refusal is an ApplicationError whose type is the broken rule."""
    if isinstance(error, (WorkflowUpdateFailedError, WorkflowFailureError)) and error.cause:
        error = error.cause
    if isinstance(error, ApplicationError):
        return f"{error.message} ({error.type})"
    if isinstance(error, KeyError):
        return f"the record has no {error}"
    if isinstance(error, TimeoutError):
        return f"not with WeChat Pay after {PATIENCE} s; it goes on: see its status"
    return str(error).partition("\n")[0]


def main() -> int:
    if len(sys.argv) != 3:
        print("usage: policy_life.py RECORD.json POLICY_CODE", file=sys.stderr)
        return 2
    try:
        asyncio.run(live(*sys.argv[1:]))
    except (TemporalError, RPCError, RuntimeError, SealingError, Stuck, OSError, ValueError, KeyError) as error:
        print(f"error: {explained(error)}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    # A thread of the SDK may abort a process whose interpreter is torn down (temporalio/sdk-python#300): skip that.
    os._exit(code)

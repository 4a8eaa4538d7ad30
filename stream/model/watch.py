"""Watching the models topic: the newest champion that can be served is ready before the loop asks for it.

A thread reads `iot.<fleet>.models` and loads what is announced, so the loop never waits for a download or a warm-up: at a batch
border it takes the newest model that stands ready. Only a higher sequence replaces a model; a rollback has one too. What serves is
kept in the topic as accepted, so that whoever starts when the champion is a refused one finds it.
"""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from queue import SimpleQueue
from typing import Any

import msgspec
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition
from confluent_kafka import KafkaError as ClientError

from aimaas.errors import KafkaError, ModelRefusedError
from aimaas.events import CHAMPION, Announcement, ModelRefusal
from aimaas.fleet import FleetSpec
from aimaas.kafka import consumer_config, kafka_errors
from aimaas.logs import logger
from aimaas.model_topic import is_acceptance, is_refusal, write_accepted, write_refusal
from aimaas.settings import Settings
from aimaas.topics import topic_names
from stream.model.candidates import Candidates
from stream.model.load import ArtefactUnreachableError, Model, load_model

_KEEP_RETRY_S = 60.0  # and so often to keep the accepted announcement, where the broker did not take it
_POLL_S = 0.1

log = logger("scorer.models")

_announcement = msgspec.json.Decoder(Announcement)


class ModelWatcher:
    """Follows one fleet's models topic in a thread from `start` to `stop`.

    `newest`, `withdraw` and `refusals` may be called from any other thread.
    """

    def __init__(self, settings: Settings, fleet: FleetSpec, instance: str) -> None:
        self._settings, self._fleet, self._instance = settings, fleet, instance
        self._topic = topic_names(fleet).models
        self._candidates = Candidates()
        self._withdrawn: SimpleQueue[tuple[int, str]] = SimpleQueue()  # from other threads to the watcher's
        self._taking = threading.Lock()  # held while the served model changes
        self._keep_at = 0.0
        self._model: Model | None = None
        self._serves: Announcement | None = None  # that of the model
        self._accepted = -1  # sequence of the accepted announcement that the topic holds
        self._error: Exception | None = None
        self._stop, self._at_end = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="model-watcher", daemon=True)

    @property
    def refusals(self) -> int:
        """How many announced models were refused or withdrawn since the start."""
        return self._candidates.refusals

    def start(self) -> None:
        """Begin to read the topic from its beginning."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread; returns when it has ended or after 10 s."""
        self._stop.set()
        self._thread.join(10)

    def newest(self) -> Model | None:
        """The newest model ready to serve; None before the topic is read to its end, and while nothing announced can serve.

        After a model was withdrawn, that is until another one is loaded: whoever serves decides whether to go on with the old one.
        Raises what ended the thread: KafkaError where the topic cannot be read.
        """
        if self._error is not None:
            raise self._error
        return self._model

    def withdraw(self, sequence: int, reason: str) -> None:
        """Refuse the announcement of this sequence from now on, for `reason`, until this process ends; does not block.

        `newest` does not return its model any more. The newest other acceptable announcement is loaded by the watcher's thread,
        which also logs and reports the refusal.
        """
        self._withdrawn.put((sequence, reason))
        with self._taking:
            if self._model is not None and self._model.sequence == sequence:
                self._model = None

    def wait_for_end(self, timeout_s: float) -> bool:
        """Say whether the topic was read to its end, and what it announced was loaded, within `timeout_s`."""
        return self._at_end.wait(timeout_s)

    def _run(self) -> None:
        try:
            with kafka_errors(self._settings, f"read {self._topic}"):
                self._follow()
        except Exception as e:  # noqa: BLE001 - raised by `newest`: nobody may wait for a thread that has ended
            self._error = e
            self._at_end.set()

    def _follow(self) -> None:
        config = consumer_config(self._settings, "aimaas-models", enable_partition_eof=True, fetch_wait_max_ms=100)
        consumer = Consumer(config)
        try:
            consumer.assign([TopicPartition(self._topic, 0, OFFSET_BEGINNING)])
            while not self._stop.is_set():
                messages = consumer.consume(1_000, _POLL_S)
                ended = self._note(messages)
                self._refuse_withdrawn()
                if self._at_end.is_set() or ended:  # before the end an older announcement may look newest
                    self._keep_accepted()  # a turn after the load: another scorer may have done it meanwhile
                    self._load()
                    self._at_end.set()
        finally:
            consumer.close()

    def _note(self, messages: list[Any]) -> bool:
        """Add announcements to the candidates; say whether the end of the topic was reached."""
        ended = False
        for message in messages:
            error = message.error()
            if error is None:
                self._note_one(message)
            elif error.code() == ClientError._PARTITION_EOF:
                ended = True
            elif error.code() == ClientError.UNKNOWN_TOPIC_OR_PART:
                raise KafkaError(f"no topic {self._topic}: create the fleet's topics with `aimaas topics create`")
            else:
                log.warning("the models topic cannot be read now", error=error.str())
        return ended

    def _note_one(self, message: Any) -> None:
        if message.value() is None or is_refusal(message.key()):  # the alias was deleted: the last champion serves on
            return
        try:
            found = _announcement.decode(message.value())
        except msgspec.MsgspecError as e:
            log.error("announcement cannot be read", topic=self._topic, offset=message.offset(), error=str(e))
            return
        if found.alias == CHAMPION:
            self._candidates.add(found)
        if is_acceptance(message.key()):
            self._accepted = found.sequence

    def _load(self) -> None:
        """Make the newest loadable candidate the model. What is refused is logged once; what is out of reach is tried again."""
        served = self._model.sequence if self._model else None
        for announcement in self._candidates.to_try(served, time.monotonic()):
            try:
                started = time.perf_counter()
                model = load_model(announcement, self._fleet, self._settings)
            except ArtefactUnreachableError as e:
                self._candidates.pause(announcement.sequence, time.monotonic())
                log.error("model cannot be fetched", reason=str(e), served=self._model and self._model.version)
            except ModelRefusedError as e:
                self._refuse(announcement.sequence, announcement.version, str(e))
            else:
                self._take(model, announcement)
                log.info(
                    "model loaded", version=model.version, sequence=model.sequence, candidate=model.metadata.candidate,
                    seconds=round(time.perf_counter() - started, 3),
                )  # fmt: skip
                return

    def _take(self, model: Model, announcement: Announcement) -> None:
        self._candidates.loaded(model.sequence)
        with self._taking:
            self._model, self._serves = model, announcement

    def _refuse_withdrawn(self) -> None:
        """Refuse what other threads have withdrawn since the last turn, and forget it as the served model."""
        while not self._withdrawn.empty():
            sequence, reason = self._withdrawn.get()
            known = self._serves if self._serves and self._serves.sequence == sequence else None
            self._refuse(sequence, known.version if known else "?", f"withdrawn: {reason}")
            with self._taking:
                if self._model is not None and self._model.sequence == sequence:
                    self._model = None  # it was loaded between the call and this turn

    def _keep_accepted(self) -> None:
        """Write the announcement of the model that serves, unless the topic holds it, or one of a higher sequence."""
        serves = self._serves
        if serves is None or serves.sequence <= self._accepted or time.monotonic() < self._keep_at:
            return
        try:
            write_accepted(self._settings, self._fleet, serves)
            self._accepted = serves.sequence
        except KafkaError as e:
            self._keep_at = time.monotonic() + _KEEP_RETRY_S
            log.error("accepted model not kept", error=str(e))

    def _refuse(self, sequence: int, version: str, reason: str) -> None:
        """Remember not to try it again, and leave word where a person looks: log and models topic."""
        self._candidates.refuse(sequence, reason)
        served = self._model and self._model.version
        log.error("model refused", version=version, sequence=sequence, reason=reason, served=served)
        refusal = ModelRefusal(version, sequence, self._instance, reason, datetime.now(UTC))
        try:
            write_refusal(self._settings, self._fleet, refusal)
        except KafkaError as e:
            log.error("refusal not reported", error=str(e))

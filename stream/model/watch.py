"""Watches the models topic and loads the newest champion that can serve before the loop asks for it.

A thread reads `iot.<fleet>.models` and loads announced models, so the loop never waits for a download or a warm-up: between
two batches it takes the newest loaded model. Only a higher sequence replaces a model; a rollback has one too. The topic
keeps every announcement, so a scorer that starts while the champion is refused finds the previous champion. The result of
each announcement is reported.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from queue import SimpleQueue
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, TopicPartition
from confluent_kafka import KafkaError as ClientError

from aimaas.errors import ModelRefusedError
from aimaas.fleet import FleetSpec
from aimaas.kafka import consumer_config, end_offsets, kafka_errors
from aimaas.kafka.failures import UNREACHABLE, is_denied
from aimaas.kafka.outage import outage_of
from aimaas.kafka.rights import in_group, on_topic
from aimaas.kafka.topic_watch import TopicMadeAnewError, TopicWatch
from aimaas.logs import logger
from aimaas.records.events import CHAMPION, Announcement
from aimaas.registry.announcements import AnnouncementError, announcement_of
from aimaas.registry.signatures import Verifier
from aimaas.settings import Settings
from aimaas.topics import MODELS_GROUP, topic_names
from stream.model.candidates import Candidates
from stream.model.copies import Copies
from stream.model.load import ArtefactUnreachableError, Model, load_model
from stream.model.report import StatusReporter
from stream.model.trial import LIMIT_S

_POLL_S = 0.1
_HURRIED_S = 20.0  # for a fetch or a trial, while nothing serves and another model could
_MOST_TOLD = 20  # ignored records in log and status

log = logger("scorer.models")


class ModelWatcher:
    """Follows one fleet's models topic in a thread from `start` to `stop`.

    Any thread may call `newest`, `withdraw` and `refusals`.
    """

    def __init__(self, settings: Settings, fleet: FleetSpec, instance: str | None) -> None:
        """`instance` names the scorer in its reports; None reports nothing."""
        self._settings, self._fleet = settings, fleet
        self._topic = topic_names(fleet).models
        self._candidates = Candidates()
        self._withdrawn: SimpleQueue[tuple[int, str]] = SimpleQueue()  # from other threads to the watcher's
        self._taking = threading.Lock()  # held while the served model changes
        self._copies = Copies(settings, fleet)
        self._verifier, self._reporter = Verifier(settings), StatusReporter(settings, fleet, instance)
        self._model: Model | None = None
        self._serves: Announcement | None = None  # the announcement of the served model
        self.passed_over = 0  # records since the start that were no trustworthy announcement
        self._error: Exception | None = None
        self._stop, self._at_end = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="model-watcher", daemon=True)

    @property
    def refusals(self) -> int:
        """Return how many announced models were refused or withdrawn since the start."""
        return self._candidates.refusals

    def start(self) -> None:
        """Start to read the topic from its beginning."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread; returns when it has ended or after 10 s."""
        self._stop.set()
        self._thread.join(10)

    def newest(self) -> Model | None:
        """Return the newest model ready to serve. None before the topic is read to its end, and while no announced model can serve.

        After a withdrawal it is None until another model is loaded: the caller decides whether to continue with the old
        model. Raises the error that ended the thread: KafkaError if the topic cannot be read.
        """
        if self._error is not None:
            raise self._error
        return self._model

    def withdraw(self, sequence: int, reason: str) -> None:
        """Refuse the announcement of this sequence from now on, for `reason`, until this process ends; does not block.

        `newest` no longer returns its model. The watcher's thread loads the newest other acceptable announcement, and logs
        and reports the refusal.
        """
        self._withdrawn.put((sequence, reason))
        with self._taking:
            if self._model is not None and self._model.sequence == sequence:
                self._model = None

    def wait_for_end(self, timeout_s: float) -> bool:
        """Return whether the topic was read to its end and the announced models were loaded, within `timeout_s`."""
        return self._at_end.wait(timeout_s)

    def _run(self) -> None:
        try:
            rights = on_topic("Read", self._topic), in_group(MODELS_GROUP)
            with kafka_errors(self._settings, f"read {self._topic}", *rights):
                self._follow()
        except Exception as e:  # noqa: BLE001 - `newest` raises it: no caller may wait for a thread that has ended
            self._error = e
            self._at_end.set()

    def _follow(self) -> None:
        self._candidates.served_before = tuple(self._copied())
        config = consumer_config(
            self._settings, MODELS_GROUP, enable_partition_eof=True, fetch_wait_max_ms=100,
            auto_offset_reset="earliest",  # a topic created again is read from its beginning: reading a record twice is harmless
        )  # fmt: skip
        outage = outage_of(self._settings)
        if not outage.wait(self._stop.wait, f"read {self._topic}"):
            return
        end_offsets(self._settings, self._topic)  # the client is slow to report a missing topic
        consumer = Consumer(config)
        watch = TopicWatch(self._settings, {self._topic: None})
        try:
            consumer.assign([TopicPartition(self._topic, 0, OFFSET_BEGINNING)])
            while not self._stop.is_set():
                if self._is_made_anew(watch):
                    watch = TopicWatch(self._settings, {self._topic: None})
                    consumer.assign([TopicPartition(self._topic, 0, OFFSET_BEGINNING)])
                messages = consumer.consume(1_000, _POLL_S)
                outage.raise_if_lasting(f"read {self._topic}")
                ended = self._note(messages)
                self._reporter.poll()
                self._refuse_withdrawn()
                if self._at_end.is_set() or ended:  # before the end an older announcement may seem the newest
                    self._load()
                    self._at_end.set()
        finally:
            consumer.close()
            self._reporter.close()

    def _copied(self) -> Iterator[Announcement]:
        """Return the trustworthy announcements of the models that this machine has copies of."""
        for value in self._copies.announcements():
            with suppress(AnnouncementError):
                found = announcement_of(CHAMPION.encode(), value, self._fleet.fleet, self._verifier)
                if found is not None:
                    yield found

    def _is_made_anew(self, watch: TopicWatch) -> bool:
        """Return whether the topic was deleted and created again: if it is as long, the consumer would continue in its middle."""
        try:
            watch.look(time.monotonic())
        except TopicMadeAnewError as e:
            log.warning("reading the models topic again from its beginning", reason=str(e))
            return True
        return False

    def _note(self, messages: list[Any]) -> bool:
        """Add announcements to the candidates; return whether the end of the topic was reached."""
        ended = False
        for message in messages:
            error = message.error()
            if error is None:
                self._note_one(message)
            elif error.code() == ClientError._PARTITION_EOF:
                ended = True
            elif error.code() == ClientError.UNKNOWN_TOPIC_OR_PART or is_denied(error):
                raise KafkaException(error)
            elif error.code() not in UNREACHABLE:  # an outage is reported elsewhere
                log.warning("cannot read the models topic", error=error.str())
        return ended

    def _note_one(self, message: Any) -> None:
        try:
            found = announcement_of(message.key(), message.value(), self._fleet.fleet, self._verifier)
        except AnnouncementError as e:
            self._pass_over(message.offset(), str(e))
            return
        if found is not None:
            self._candidates.add(found)

    def _pass_over(self, offset: int, reason: str) -> None:
        """Count an untrusted record. Only the first ones are logged, so that a flood of them does not fill the log."""
        self.passed_over += 1
        if self.passed_over <= _MOST_TOLD:
            log.error("announcement passed over", topic=self._topic, offset=offset, reason=reason)
            self._reporter.report("?", 0, "passed_over", f"offset {offset}: {reason}")

    def _load(self) -> None:
        """Load the newest loadable candidate as the model.

        A refusal is reported once; a cause that may disappear is tried again.
        """
        waiting = self._candidates.to_try(self._serves, time.monotonic())
        for announcement in waiting:
            # while another one could serve, do not wait for any
            limit_s = _HURRIED_S if self._model is None and announcement is not waiting[-1] else LIMIT_S
            started = time.perf_counter()
            try:
                model = load_model(announcement, self._fleet, self._settings, limit_s, self._stop)
            except ArtefactUnreachableError as e:
                self._put_off(announcement, e)
            except ModelRefusedError as e:
                self._refuse(announcement, str(e))
            else:
                self._take(model, announcement)
                log.info(
                    "model loaded", version=model.version, sequence=model.sequence, candidate=model.metadata.candidate,
                    seconds=round(time.perf_counter() - started, 3),
                )  # fmt: skip
                return

    def _take(self, model: Model, announcement: Announcement) -> None:
        self._candidates.loaded(announcement)
        with self._taking:
            self._model, self._serves = model, announcement
        self._reporter.report(model.version, model.sequence, "serves")

    def _put_off(self, announcement: Announcement, error: ArtefactUnreachableError) -> None:
        """Pause the candidate. All failures are logged; the first one is also reported as a status."""
        if self._stop.is_set():
            return
        log.error("model cannot be fetched", reason=str(error), served=self._model and self._model.version)
        if self._candidates.pause(announcement, time.monotonic()):
            self._reporter.report(announcement.version, announcement.sequence, error.state, str(error))

    def _refuse_withdrawn(self) -> None:
        """Refuse the models that other threads have withdrawn since the last turn, and forget a served one."""
        while not self._withdrawn.empty():
            sequence, reason = self._withdrawn.get()
            for announcement in self._candidates.refuse_sequence(sequence, reason):
                self._tell_refused(announcement, f"withdrawn: {reason}")
            with self._taking:
                if self._model is not None and self._model.sequence == sequence:
                    self._model = None  # it was loaded between the call and this turn
            if self._serves is not None and self._serves.sequence == sequence:
                self._serves = None

    def _refuse(self, announcement: Announcement, reason: str) -> None:
        """Refuse the announcement, so that it is not tried again."""
        self._candidates.refuse(announcement, reason)
        self._tell_refused(announcement, reason)

    def _tell_refused(self, announcement: Announcement, reason: str) -> None:
        """Report the refusal in log and status."""
        version, sequence, served = announcement.version, announcement.sequence, self._model and self._model.version
        log.error("model refused", version=version, sequence=sequence, reason=reason, served=served)
        self._reporter.report(version, sequence, "refused", reason)

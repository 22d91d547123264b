"""Carries out one turn of proven reads, step by step: what the cache has is answered here, the rest goes upstream.

Reads that go upstream are sent as transactions of their own, several at once, each with a Sync behind it: so they see
what they would see in READ COMMITTED, and their answers may be kept. A BEGIN before them and a COMMIT behind them are
answered here too, where the block is held back.
"""

import asyncio
from collections.abc import Sequence
from typing import Protocol

from services.proxy.cache.entry import Answer, Entry
from services.proxy.reasons import Reason
from services.proxy.replica.replay import replay_question
from services.proxy.session.block import HeldBlock, Prelude, settings_around, settings_before
from services.proxy.session.conversation import Conversation
from services.proxy.session.exchange import Exchange, Question, Segment
from services.proxy.session.follow_up import Portal
from services.proxy.session.held_setting import HeldSetting, setting_reply
from services.proxy.session.miss import Miss, turns_away
from services.proxy.session.planning import Plan, Step
from services.proxy.session.stale_hits import UNANSWERABLE
from services.proxy.session.turns import Part
from services.proxy.sql.block_statement import BlockStep
from services.shared.pgwire.backend import READY_FOR_QUERY
from services.shared.pgwire.frontend import SYNC, FrontendMessage
from services.shared.pgwire.notice import error_response, notice_response
from services.shared.pgwire.sqlstate import Sqlstate

# Postgres's words.
_CANCELED = "canceling statement due to user request"
_TIMED_OUT = "canceling statement due to statement timeout"
_AGES = notice_response(
    "DEBUG", Sqlstate.SUCCESSFUL_COMPLETION, "tidegate: this answer may be out of date by ageing_ttl"
)
_MAX_HELD_BYTES = 64 * 1024  # of answers; a pipeline of hits may have gigabytes of them


class Turns(Protocol):
    """Whose turn it is."""

    def to_client(self, data: bytes) -> bool:
        """Send to the client; tell whether it reads as fast as we write."""

    def send(self, raw: bytes, exchange: Exchange) -> None:
        """Send to Postgres; `ReadRun.answered_upstream` is called when all of it is answered."""

    def wait(self) -> None:
        """The cache is asked: the turn goes on later."""

    def wait_for_client(self) -> None:
        """The client reads slowly: `ReadRun.go_on` is called when it has caught up."""

    def resume(self) -> None:
        """A wait for the cache is over, and what came of it is done."""

    def finish(self, *, whole: bool, failed: bool, portal: Portal | None, read: bool = False) -> None:
        """A turn is answered to its end (`whole`), or a part of it, of which a statement may have failed."""


class ReadRun:
    """One turn that is taken apart."""

    __slots__ = (
        "_at",
        "_conversation",
        "_entries",
        "_message_at",
        "_messages",
        "_misses",
        "_out",
        "_out_bytes",
        "_over",
        "_part",
        "_ready_made",
        "_situation",
        "_steps",
        "_time_limit",
        "_turns",
    )

    def __init__(
        self,
        turns: Turns,
        conversation: Conversation,
        part: Part,
        messages: Sequence[FrontendMessage],
        steps: tuple[Step, ...],
    ) -> None:
        """Prepare.

        Args:
            turns: Whose turn it is.
            conversation: What holds in the session.
            part: The turn, or a part of it that ends with a Flush.
            messages: Its messages.
            steps: What it does.
        """
        self._turns = turns
        self._conversation = conversation
        self._part = part
        self._messages = messages
        self._steps = steps
        self._at = 0  # how many steps are done
        self._message_at = 0  # where the messages of the next one begin
        self._out: list[bytes] = []  # for the client, as far as it is known and was not sent
        self._out_bytes = 0
        self._entries: list[Entry] = []  # that answered
        self._situation = conversation.situation  # before the turn
        self._ready_made = True  # all so far was answered from memory, without a wait
        self._misses: list[tuple[Step, Miss | None]] = []  # that are upstream now
        self._over = False
        self._time_limit: asyncio.TimerHandle | None = None  # while the cache is asked

    def go_on(self) -> None:
        """Do the steps that can be done now, and end the turn behind the last one."""
        while self._at < len(self._steps):
            if self._out_bytes > _MAX_HELD_BYTES and not self._flush():
                self._turns.wait_for_client()
                return
            step = self._steps[self._at]
            if step.setting is not None:
                self._answer_setting(step, step.setting)
            elif step.plan is None:
                self._answer_block_step(step)
            elif not self._answer_read(step, step.plan):
                return
        self._end()

    def answered_upstream(self, exchange: Exchange) -> None:
        """Postgres has answered what was sent last: keep the answers, and go on."""
        block = self._conversation.block
        misses, self._misses = self._misses, []
        self._note_standing(exchange, [miss for _, miss in misses if miss is not None])
        for (step, miss), segment in zip(misses, exchange.segments, strict=False):
            if miss is not None:
                self._conversation.lookup.end_miss(miss, failed=segment.failed)
            if block is not None and not exchange.failed:
                block.note_read(None if step.request.simple else step.request)
        if exchange.shows_ready:
            self._over = True
            self._turns.finish(whole=True, failed=exchange.failed, portal=None)
        elif exchange.failed:
            self._end(failed=True)  # to the client, the rest of the turn is skipped
        else:
            self.go_on()

    def _note_standing(self, exchange: Exchange, misses: list[Miss]) -> None:
        """Note what the session's standby said of itself in front of these reads."""
        if exchange.question is None:
            return
        for miss in misses:
            if miss.server is not None:
                miss.standing = self._conversation.keeper.standing(exchange.question.row, miss.server)

    def interrupt(self, why: str = _CANCELED) -> None:
        """The statement for which the cache is asked is cancelled."""
        self._stop_waiting()
        self._conversation.lookup.stop_waiting()
        self._fail(error_response("ERROR", Sqlstate.QUERY_CANCELED, why).encode())

    def abandon(self) -> None:
        """The session is over: nothing that comes late goes on with this turn."""
        self._over = True
        self._stop_waiting()
        self._conversation.lookup.stop_waiting()
        self._stop_sharing()

    def reads_on(self) -> bool:
        """The client reads slowly: tell whether Postgres is read all the same, since others wait for this answer.

        It has an end, or it is not shared any more: so much may wait here for the client. Where more than one answer is
        on its way, those who joined one must not wait for this client: they run for themselves.
        """
        alone = self._misses[0][1] if len(self._misses) == 1 else None
        if alone is not None and alone.awaited:
            return True
        self._stop_sharing()
        return False

    def _stop_sharing(self) -> None:
        """Let those who joined these reads run for themselves."""
        for _, miss in self._misses:
            if miss is not None:
                miss.stop_sharing()

    def _answer_read(self, step: Step, plan: Plan) -> bool:
        """Answer a read from memory; else ask elsewhere for it, or send it upstream. Tell whether it is answered."""
        conversation = self._conversation
        lookup, state = conversation.lookup, conversation.keeper.state
        lookup.note_read()
        refusal = lookup.serve_refusal(plan, state)
        if refusal and lookup.serves_stale(plan, state):
            refusal = Reason.POSTGRES_DOWN
        elif not refusal and not conversation.orphaned:
            refusal = lookup.audit_refusal(plan, state)
        stale = refusal == Reason.POSTGRES_DOWN
        entry = lookup.from_l1(plan) if stale or not refusal else None
        if entry is not None:
            self._entries.append(entry)
            self._answer(step, entry.answer, stale=stale)
            return True
        self._ready_made = False

        def answered(answer: Answer | None, refusal: str) -> None:
            if self._over:
                return
            self._stop_waiting()
            if answer is not None:
                self._answer(step, answer, stale=refusal == Reason.POSTGRES_DOWN)
                self.go_on()
            else:
                self._send_misses(refusal)
            self._turns.resume()

        if lookup.ask(plan, state, answered, refusal):
            self._turns.wait()
            if state is not None and state.statement_timeout:
                loop = asyncio.get_running_loop()
                self._time_limit = loop.call_later(state.statement_timeout, self._time_out)
        else:
            self._send_misses(refusal or Reason.NOT_CACHED)
        return False

    def _time_out(self) -> None:
        """Another session's query, for whose answer this one waits, takes longer than this session would wait."""
        self.interrupt(_TIMED_OUT)
        self._turns.resume()

    def _stop_waiting(self) -> None:
        if self._time_limit is not None:
            self._time_limit.cancel()
            self._time_limit = None

    def _answer(self, step: Step, answer: Answer, *, stale: bool = False) -> None:
        """Answer one read from the cache; `stale`: Postgres is down, and nothing proves the answer fresh."""
        request, conversation, state = step.request, self._conversation, self._conversation.keeper.state
        if state is not None and state.debugs and step.plan is not None and step.plan.ages:
            self._put(_AGES.encode())
        if stale:
            self._put(conversation.lookup.stale_warning())
            self._ready_made = False  # each of them says how old it may be
        self._put(request.reply(answer))
        if request.sets_unnamed:
            conversation.statements.answered_here(request.unnamed)
        if conversation.block is not None:
            conversation.block.note_read(None if request.simple else request)
        self._advance(step)

    def _answer_block_step(self, step: Step) -> None:
        """Answer a BEGIN that is held back, or the end of such a block."""
        assert step.block is not None
        request, tag, conversation = step.request, step.block.tag, self._conversation
        if step.block.step is BlockStep.BEGIN:
            conversation.block = HeldBlock(request.text)
            conversation.database.statistics.blocks_held += 1
        else:
            if conversation.block is not None and conversation.block.failed:
                tag = "ROLLBACK"  # whatever was asked for
                self._ready_made = False
            conversation.block = None
        if request.sets_unnamed:
            conversation.statements.answered_here(request.unnamed)
        self._put(request.command_reply(tag))
        self._advance(step)

    def _answer_setting(self, step: Step, held: HeldSetting) -> None:
        """Note what is set for the block that is held back."""
        request, conversation = step.request, self._conversation
        assert conversation.block is not None
        conversation.block.note_setting(held, None if request.simple else request)
        if request.sets_unnamed:
            conversation.statements.answered_here(request.unnamed)
        self._put(setting_reply(request, held))
        self._advance(step)

    def _send_misses(self, refusal: str) -> None:
        """Send the next read upstream, and with it the reads behind it that are no hits either.

        A read that rests on what was set for the block goes alone, and in front of it what sets that.
        """
        conversation = self._conversation
        if conversation.orphaned:
            conversation.database.statistics.unanswered += 1
            self._fail(UNANSWERABLE)
            return
        statements, statistics = conversation.statements, conversation.database.statistics
        lookup, state = conversation.lookup, conversation.keeper.state
        segments: list[Segment] = []
        pieces: list[bytes] = []
        closes = 0
        while self._at < len(self._steps):
            step = self._steps[self._at]
            plan = step.plan
            if plan is None or (segments and (closes or self._rests_on_settings(plan))):
                break
            if segments and not self._goes_along(step, plan):
                break
            behind = b"" if step.request.simple else SYNC
            if self._rests_on_settings(plan):
                before, behind = self._settings_for(step)
                pieces.append(before.raw)
                closes = before.closes
            away = "" if refusal == Reason.AUDITED else turns_away(plan)
            miss = None if away else lookup.begin_miss(plan, state, refusal, lookup.keep_refusal(plan, state))
            statistics.misses += 1
            statistics.forwarded[away or refusal] += 1
            messages, raw = self._next_messages(step)
            first, acks = statements.catch_up(messages)
            acks += statements.expected(messages, conversation.meaning)
            pieces += (first, raw, behind)
            segments.append(Segment(acks, miss.recorder if miss is not None else None))
            self._misses.append((step, miss))
            self._advance(step)
        self._flush()
        ends = self._at == len(self._steps) and len(segments) == 1 and self._part.last
        shown = ends and conversation.block is None
        if closes and self._misses[-1][0].request.simple:
            segments.append(Segment((), hidden=True))  # of what ends the block of the settings
        question: Question | None = None
        if any(miss is not None and miss.server is not None for _, miss in self._misses):
            question = Question()
            pieces.insert(0, replay_question())
        exchange = Exchange(segments, shows_ready=shown, closes=closes, question=question)
        self._turns.send(b"".join(pieces), exchange)

    def _rests_on_settings(self, plan: Plan) -> bool:
        """Tell whether what was set for the block that is held back may change an answer."""
        block = self._conversation.block
        return block is not None and bool(block.settings) and bool(plan.template and plan.template.analysis.settings)

    def _settings_for(self, step: Step) -> tuple[Prelude, bytes]:
        """Return what goes in front of a read that rests on what was set for the block, and what goes behind it."""
        block = self._conversation.block
        assert block is not None
        return settings_around(block) if step.request.simple else (settings_before(block.settings), SYNC)

    def _goes_along(self, step: Step, plan: Plan) -> bool:
        """Tell whether a read is sent along with the one before it, whose failure would have Postgres skip it.

        What the unnamed statement meant must then be known, since a Parse that should have been skipped replaced it.
        """
        conversation = self._conversation
        lookup, state = conversation.lookup, conversation.keeper.state
        known = not step.request.parses or conversation.statements.knows_unnamed
        return (
            known and not lookup.would_hit(plan, state) and not (lookup.could_join(plan, state) and self._is_new(plan))
        )

    def _is_new(self, plan: Plan) -> bool:
        """Tell whether this very read is not on its way in the same run: what waits for another session waits alone."""
        return all(miss is None or miss.plan.key != plan.key for _, miss in self._misses)

    def _next_messages(self, step: Step) -> tuple[Sequence[FrontendMessage], bytes]:
        """Return the messages of the next step, decoded and raw."""
        end = self._message_at + step.message_count
        boundaries = self._part.messages
        raw = self._part.raw[boundaries[self._message_at][1] : boundaries[end - 1][2]]
        return self._messages[self._message_at : end], raw

    def _put(self, data: bytes) -> None:
        """Add to what the client gets."""
        self._out.append(data)
        self._out_bytes += len(data)

    def _flush(self) -> bool:
        """Send what is known so far; tell whether the client reads as fast as we write."""
        if not self._out:
            return True
        data = b"".join(self._out)
        self._out.clear()
        self._out_bytes = 0
        self._ready_made = False
        return self._turns.to_client(data)

    def _fail(self, error: bytes) -> None:
        """The next statement fails; the rest of the turn is skipped."""
        self._put(error)
        if self._conversation.block is not None:
            self._conversation.block.failed = True
        self._end(failed=True)

    def _advance(self, step: Step) -> None:
        self._message_at += step.message_count
        self._at += 1

    def _end(self, *, failed: bool = False) -> None:
        self._over = True
        conversation, part = self._conversation, self._part
        if part.last:
            self._put(READY_FOR_QUERY[conversation.shown_status])
        payload = b"".join(self._out)
        self._turns.to_client(payload)
        last = self._steps[-1]
        portal = None if last.request.simple else last.request
        self._turns.finish(whole=part.last, failed=failed, portal=portal, read=last.plan is not None)
        if self._ready_made and part.first and part.last:
            conversation.remember(part.raw, self._steps, payload, self._entries, self._situation)

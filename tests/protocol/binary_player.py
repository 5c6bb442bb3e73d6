# SPDX-License-Identifier: MIT
"""Plays the cases that speak the binary protocol: `>` and `<` are packets, in the form that README.md describes.

What an answer has to repeat of its request (opcode, opaque) is compared without being written down, and what is not written
down has to be what usually stands there: no key, no value (beside an error: its message), flags 0, a CAS where a packet tells
of an entry and none elsewhere.
"""


import packets
from transcripts import Mismatch, Player, Step, TranscriptError

FIRST_OPAQUE = 0x01020304  # reads otherwise in any other order of bytes
WITH_FLAGS = {"get", "getk", "touch", "gat", "gatk"}
WITH_CAS = WITH_FLAGS | {"set", "add", "replace", "append", "prepend", "incr", "decr"}
RAW = {"key", "value", "extras"}
NUMBERS = {"cas", "opaque", "magic", "data_type", "key_size", "extras_size", "body_size", "flags", "ttl", "delta", "initial",
           "level"}


def fields_of(step):
    """(opcode, word or None, {field: text}) of a line; value= takes the rest of it."""
    head, _, value = step.text.partition(" value=")
    opcode, *words = head.split()
    fields = dict(word.split("=", 1) for word in words if "=" in word)
    bare = [word for word in words if "=" not in word]
    if len(bare) > 1:
        raise TranscriptError(f"line {step.number}: more than one word without a name: {bare}")
    if " value=" in step.text:
        fields["value"] = value
    return opcode, bare[0] if bare else None, fields


class BinaryPlayer(Player):
    """The same steps, in packets."""

    def __init__(self, *arguments, **more):
        super().__init__(*arguments, **more)
        self.sent = []  # (opcode, opaque) of the requests of this connection that may still be answered

    def open(self):
        super().open()
        self.sent = []

    # ---- requests

    def data_of(self, step):
        if step.kind == ">>":
            return self.bytes_of(step)
        opcode, key, fields = fields_of(step)
        parts = {name: self.bytes_of(Step(step.number, step.kind, text)) for name, text in fields.items()}
        if key is not None:
            parts["key"] = self.bytes_of(Step(step.number, step.kind, key))
        unknown = set(parts) - RAW - NUMBERS
        if unknown:
            raise TranscriptError(f"line {step.number}: no field: {unknown}")
        for name in NUMBERS & set(parts):
            parts[name] = int(parts[name], 0)
        parts.setdefault("opaque", FIRST_OPAQUE + len(self.sent))
        number = packets.opcode_of(opcode)
        self.sent.append((number, parts["opaque"]))
        return packets.packet(opcode, **parts)

    # ---- answers

    def expect(self, step):
        if step.text.startswith("stat ..."):
            self.expect_statistics(step)
            return
        answer = packets.read_answer(self.file)
        if not answer:
            raise Mismatch(f"line {step.number}: expected {step.text!r}, and it was closed")
        opcode, status, fields = fields_of(step)
        self.check_order(step, answer)
        for name, expected, found in self.compared(opcode, status or "SUCCESS", fields, answer):
            self.check(step, f"{name} of {answer}", expected, found)

    def check_order(self, step, answer):
        """Answers come in the order of their requests."""
        asked = (packets.opcode_of(answer.opcode), answer.opaque)
        if asked not in self.sent:
            raise Mismatch(f"line {step.number}: nothing that is left to be answered asked for {answer}")
        if answer.opcode != "stat" or not answer.key:
            del self.sent[:self.sent.index(asked) + 1]

    def compared(self, opcode, status, fields, answer):
        """What has to be what: (name, text, bytes), in the order in which a reader wants to hear of it."""
        loud = packets.loud(opcode)
        good = status == "SUCCESS"
        has_flags = good and loud in WITH_FLAGS
        message = "" if good else packets.MESSAGES.get(status, b"").decode()
        yield "opcode", str(packets.opcode_of(opcode)), str(packets.opcode_of(answer.opcode))
        yield "status", status, str(answer.status)
        yield "key", fields.get("key", ""), answer.key
        if "number" in fields:
            yield "number", fields["number"], str(packets.number_of(answer))
        else:
            yield "value", fields.get("value", message), answer.value
        if has_flags:
            yield "flags", fields.get("flags", "0"), str(packets.flags_of(answer))
        else:
            yield "extras", "", answer.extras
        if "cas" in fields or not (good and loud in WITH_CAS):
            yield "CAS", fields.get("cas", "0"), str(answer.cas)
        elif answer.cas == 0:
            yield "CAS", "{#}", "none"

    def check(self, step, what, expected, found):
        captured = self.captures(Step(step.number, step.kind, expected), packets.bytes_of(found))
        if captured is None:
            raise Mismatch(f"line {step.number}: expected {expected!r}, but for the {what}")
        self.captured.update(captured)

    def expect_statistics(self, step):
        """`stat ... name=value`: any number of statistics, these among them, and the empty one behind them."""
        _, _, fields = fields_of(Step(step.number, step.kind, step.text.replace("stat ...", "stat", 1)))
        found = {}
        while True:
            answer = packets.read_answer(self.file)
            if not answer or answer.status != "SUCCESS":
                raise Mismatch(f"line {step.number}: expected statistics, got {answer}")
            self.check_order(step, answer)
            if not answer.key:
                break
            found[answer.key.decode()] = answer.value
        for name, expected in fields.items():
            if name not in found:
                raise Mismatch(f"line {step.number}: no {name} among {sorted(found)}")
            self.check(step, name, expected, found[name])

    def ask_for_the_end(self):
        self.socket.sendall(packets.packet("noop", opaque=0xfffffffe))
        answer = packets.read_answer(self.file)
        if not answer or answer.opaque != 0xfffffffe:
            raise Mismatch(f"expected nothing more, got {answer}")

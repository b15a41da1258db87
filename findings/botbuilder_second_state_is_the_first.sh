#!/usr/bin/env bash
# botbuilder-core 4.17.1: two UserStates over two storages keep everything in the first one's.
#
# What a state has read is cached in the turn, under a name that all UserStates share.  A second one, made
# for what belongs into another database, takes the cache of the first for its own: it does not
# read its storage, what it is given goes to the first one's storage, and its save_changes() finds
# nothing left to do.  Nothing is raised, and what its storage had is neither seen nor updated.  The
# parameter namespace= of UserState, which looks like the remedy, is kept and never used.
#
# Seen, also with namespace="payment":
#   profiles {'name': 'Ann', 'card': 'new'}  payments {'card': 'old'}  the bot read None
# Works, a subclass with a name of its own, as below:
#   profiles {'name': 'Ann'}  payments {'card': 'new'}  the bot read old
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -q --disable-pip-version-check \
  "botbuilder-core==4.17.1" "aiohttp==3.14.5"
"$folder/venv/bin/python" - <<'PYTHON'
import asyncio

from botbuilder.core import BotState, MemoryStorage, UserState
from botbuilder.core.adapters import TestAdapter


class PaymentState(UserState):
    def __init__(self, storage):
        BotState.__init__(self, storage, "PaymentState")


async def after_a_turn(make_payment_state):
    key = "test/users/User1"  # of the TestAdapter
    profiles, payments = MemoryStorage(), MemoryStorage({key: {"card": "old"}})
    profile_state, payment_state = UserState(profiles), make_payment_state(payments)
    name, card = profile_state.create_property("name"), payment_state.create_property("card")
    read = []

    async def bot(turn):
        turn.activity.channel_id = "test"
        turn.activity.from_property.id = "User1"
        await name.set(turn, "Ann")
        read.append(await card.get(turn))
        await card.set(turn, "new")
        await profile_state.save_changes(turn)
        await payment_state.save_changes(turn)

    await TestAdapter(bot).receive_activity("hello")
    in_profiles, in_payments = profiles.memory[key], payments.memory[key]
    print(f"profiles {in_profiles}  payments {in_payments}  the bot read {read[0]}")
    return in_profiles, in_payments, read[0]


async def main():
    mixed = {"name": "Ann", "card": "new"}, {"card": "old"}, None
    apart = {"name": "Ann"}, {"card": "new"}, "old"
    assert await after_a_turn(UserState) == mixed
    assert await after_a_turn(lambda storage: UserState(storage, namespace="payment")) == mixed
    assert await after_a_turn(PaymentState) == apart


asyncio.run(main())
PYTHON

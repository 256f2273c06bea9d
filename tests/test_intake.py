"""What a client hands to its tasks, without any network."""

import asyncio
import logging

from distchan._client_session import Arrived
from distchan._holdings import Holdings
from distchan._intake import Intake
from distchan._outstanding import new_item
from distchan._wire import MOST_SETTLED
from tests.helpers import Link, wiring


async def turn() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_batch_fits_into_one_settlement() -> None:
    link = Link(wiring(str, None, prefetch=10_000), wiring(None, str, prefetch=10_000))
    channel = link.client_wiring.incoming
    assert channel is not None
    holdings = Holdings("settled", logging.getLogger("distchan"), "there")
    intake = Intake(channel, holdings, write=lambda: None, drained=lambda: None)
    link.client_wiring.bind(None, intake)
    link.carry()
    holdings.session = link.client
    intake.attach(link.client)
    batches = []

    async def work() -> None:
        while True:
            batches.append(len(await channel.receive_many(10_000)))

    worker = asyncio.create_task(work())
    await turn()
    link.carry()
    for number in range(2 * MOST_SETTLED + 1):
        link.server.send(new_item(number, link.encode("")))
    for event in link.carry()[1]:
        assert isinstance(event, Arrived)
        intake.arrive(event.first, event.values, event.tickets)
    await turn()
    link.carry()
    worker.cancel()
    assert sum(batches) == 2 * MOST_SETTLED + 1
    assert max(batches) == MOST_SETTLED, "with the item that had to be waited for"
    assert not len(link.server.outstanding), "the next call has settled the last one"

"""The server's rules, without any network."""

from typing import Any

import pytest

from distchan import WouldBlock
from distchan._client_session import ClientSession
from distchan._hub import Hub
from distchan._server_session import Resumed, ServerSession
from distchan._session import Opened, Session
from tests.helpers import deliver, read, wiring


def said(source: Session, target: Session) -> list[Any]:
    """What becomes of what one end has to say at the other."""
    events: list[Any] = []
    deliver(source, target, events)
    return events


async def test_a_client_that_is_back_is_dealt_nothing_before_it_has_said_what_it_wants() -> None:
    # Its first connection had ended, but the server has not noticed.
    ends = wiring(str, None), wiring(None, str)
    outgoing = ends[0].outgoing
    assert outgoing is not None
    hub = Hub(ends[0], max_attempts=3, work_done=lambda: None, drained=lambda: None)
    ends[0].bind(hub.dealer, None)
    session, client = hub.session(), ends[1].session(ClientSession)
    client.start()
    assert said(client, session) == [Opened()]
    hub.join(session)
    said(session, client)
    client.want(5)
    for event in said(client, session):
        hub.on_event(session, event)
    outgoing.send_nowait("a")

    client.cut()
    client.start()
    newcomer: ServerSession = hub.session()
    newcomer.feed(b"".join(client.data_to_send()))
    (resumed,) = read(newcomer)
    assert resumed == Resumed(session)
    hub.resumed(session)
    with pytest.raises(WouldBlock):
        outgoing.send_nowait("b")

    said(session, client)
    for event in said(client, session):
        hub.on_event(session, event)
    outgoing.send_nowait("b")

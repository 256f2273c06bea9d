"""What a client does about the events of its session."""

from collections.abc import Callable

from distchan._client_session import Arrived
from distchan._holdings import Holdings
from distchan._intake import Intake
from distchan._outbox import Outbox
from distchan._pump import Handler
from distchan._session import Credited, Event, Session

__all__ = ["Member"]


class Member(Handler):
    """Passes items to the intake and credit to whoever waits for it.

    ``credited`` is called when that is done; ``on_other`` gets all other events.
    """

    def __init__(
        self,
        intake: Intake | None,
        outbox: Outbox | None,
        holdings: Holdings,
        *,
        credited: Callable[[], None],
        on_other: Callable[[Event], None],
    ) -> None:
        self._intake = intake
        self._outbox = outbox
        self._holdings = holdings
        self._on_credited = credited
        self._on_other = on_other

    def on_event(self, session: Session, event: Event) -> None:
        if type(event) is Arrived:
            intake = self._intake
            # What comes after the user closed the channel goes back to the server.
            if intake is not None and not intake.channel.closed:
                intake.arrive(event.first, event.values, event.tickets)
        elif type(event) is Credited:
            self.credited()
        else:
            self._on_other(event)

    def credited(self) -> None:
        """There may be credit."""
        self._holdings.credited()
        if self._outbox is not None:
            self._outbox.credited()
            self._on_credited()

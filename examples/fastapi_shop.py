"""A FastAPI app with a job that writes to a database; needs jobd[fastapi,sqlalchemy] and uvicorn.

cd examples
jobd -r fastapi_shop                         in one terminal
uvicorn fastapi_shop:app                     in another one
curl -X POST "http://127.0.0.1:8000/signup?email=ada@example.com"
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from sqlalchemy import create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from jobd import Job

engine = create_engine("sqlite:///shop.sqlite3")  # it connects at its first use: in each process


class Base(DeclarativeBase):
    """What has a table."""


class Welcomed(Base):
    """Who was welcomed."""

    __tablename__ = "welcomed"
    email: Mapped[str] = mapped_column(primary_key=True)


class SendWelcome(Job):
    """Would send a mail."""

    def perform(self, email: str) -> None:
        """Log what would be sent, unless that was done already: a job may run twice."""
        with Session(engine) as session, session.begin():
            if session.get(Welcomed, email) is None:
                self.logger.info("welcome, %s", email)
                session.add(Welcomed(email=email))


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    """Make the tables, as a migration would."""
    Base.metadata.create_all(engine)
    yield


app = FastAPI(lifespan=lifespan)


@app.post("/signup", status_code=202)
async def signup(email: str) -> dict[str, str | None]:
    """Push the job; the loop serves others while Redis answers."""
    return {"jid": await SendWelcome.aperform_async(email)}

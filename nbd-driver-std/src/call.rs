//! One request of a thread that waits for its end.

use nbd_proto::error::{Ended, Refused};
use nbd_proto::transmission::{Command, ContextExtents, StatusAnswer};
use nbd_proto::wire::number::ContextId;

use crate::baton::{Buffer, Mine, Place, Shared, State};
use crate::error::Error;
use crate::table::{Call, Request, Want};

impl Shared {
    /// Sends a command, and waits for its end.
    pub(crate) fn execute(
        &self,
        command: Command,
        contexts: Option<&[ContextId]>,
        buffer: Buffer<'_>,
    ) -> Result<Vec<ContextExtents>, Error> {
        let deadline = self.deadline();
        let mut place = Place::new(self);
        let mut state = self.lock();
        let me = place.take(&mut state, Want::Room);
        let cookie = loop {
            match state.submit(command, contexts) {
                Ok(cookie) => break cookie,
                Err(Refused::QueueFull { .. }) => {
                    let room = |state: &State| state.closing || state.engine.room() > 0;
                    state = self.wait(state, me, &mut Mine::nothing(), deadline, room);
                }
                Err(refused) => {
                    place.leave(&mut state);
                    return Err(state.explain(refused));
                }
            }
        };
        if let Some(waiter) = state.waiters.get_mut(me) {
            waiter.want = Want::Reply;
        }
        if state.engine.room() > 0 {
            // Several places may have become free at once.
            state.wake_first(|want| want == Want::Room);
        }
        state
            .requests
            .insert(cookie, Request::Call(Call { waiter: me, holes: Vec::new(), status: StatusAnswer::default() }));
        let mut mine = Mine { cookie: Some(cookie), buffer };
        self.kick(&mut state, &mine);
        let done = |state: &State| state.waiters.get(me).is_none_or(|waiter| waiter.outcome.is_some());
        state = self.wait(state, me, &mut mine, deadline, done);
        let outcome = place.leave(&mut state);
        drop(state);
        let Some(outcome) = outcome else {
            // Each request that was taken has an end, so this cannot be; it is no reason to bring the caller down.
            return Err(nbd_proto::error::Error::from(Ended::AtBoundary { awaiting: "a reply" }).into());
        };
        if let Buffer::Read(buffer) = mine.buffer {
            for range in outcome.holes {
                buffer[range].fill(0);
            }
        }
        outcome.result?;
        Ok(outcome.contexts)
    }
}

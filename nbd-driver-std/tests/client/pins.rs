//! Properties of types that a change would break without a compiler's word.

use crate::driver::{Client, Completion, ConnectOptions, Error, Queue, Rejected, Ticket};

const fn send<T: Send>() {}
const fn send_and_sync<T: Send + Sync>() {}

const _: () = {
    send_and_sync::<Client>();
    send_and_sync::<ConnectOptions>();
    send_and_sync::<Error>();
    send_and_sync::<Ticket>();
    send::<Queue>();
    send::<Completion>();
    send::<Rejected>();
};

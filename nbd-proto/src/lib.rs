//! The NBD (Network Block Device) protocol as a pure state machine: bytes in, bytes and events out.
//!
//! ```text
//!            your bytes in                                             your bytes out
//!                 │                                                          ▲
//!                 ▼                                                          │
//!   ┌────────────────────────────┐   by value   ┌───────────────────────────────────────┐
//!   │ handshake                  │  Negotiated  │ transmission                          │
//!   │   ClientHandshake,         │ ───────────▶ │   Client: commands in, events out     │
//!   │   Connect, List            │   Accepted   │                                       │
//!   │   ServerHandshake          │ ───────────▶ │   Server: requests out, answers in    │
//!   └──────────────┬─────────────┘              └──────────────────┬────────────────────┘
//!                  └────────────────▶ wire ◀───────────────────────┘
//!                         bytes to values and back, no state
//! ```
//!
//! No socket, no clock, no thread, no `unsafe`, no `std`: whoever owns the event loop moves the bytes, with
//! `poll`, `io_uring`, tokio or a pair of pipes. Payload is never copied or held by this crate; it says which
//! range of which of *your* buffers the next bytes belong to.
//!
//! # Order of use
//!
//! 1. A handshake [`Flow`](handshake::Flow), [`Connect`](handshake::Connect) for an export or
//!    [`List`](handshake::List) for all of them; or [`ClientHandshake`](handshake::ClientHandshake), to choose
//!    each option oneself. `input` takes what came and appends what is to be sent; `status` says what is next.
//! 2. `finish` gives [`Negotiated`](handshake::Negotiated), by value.
//! 3. [`Client::new`](transmission::Client::new) takes it. Commands may be submitted at any time, any number
//!    in a row; the [module page](transmission) sorts the methods by direction.
//!
//! A server does the same from the other side: [`ServerHandshake`](handshake::ServerHandshake), whose events ask which
//! exports there are; [`Accepted`](handshake::Accepted); [`Server::new`](transmission::Server::new). The example
//! `plain_server.rs` is one that real clients can use, in 140 lines.
//!
//! # The loop
//!
//! Over any blocking stream, one read at a time (a real loop has many commands in flight, and reads and writes
//! as the stream is ready for either):
//!
//! ```
//! use std::io::{Read, Write};
//! use nbd_proto::handshake::{Connect, ConnectSettings, Flow, Negotiated, Status};
//! use nbd_proto::limits::MIN_INPUT_BUFFER;
//! use nbd_proto::transmission::{Client, ClientSettings, Command, Event, Segment};
//! type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;
//!
//! fn connect(stream: &mut (impl Read + Write), export: &str) -> Result<Negotiated> {
//!     let mut flow = Connect::new(ConnectSettings::new(export));
//!     let (mut input, mut out, mut some) = (Vec::new(), Vec::new(), [0; 4096]);
//!     while flow.status() == Status::NeedInput {
//!         match stream.read(&mut some)? {
//!             0 => return Err(flow.eof().into()),
//!             count => input.extend_from_slice(&some[..count]),
//!         }
//!         loop {
//!             match flow.input(&input, &mut out)? {
//!                 0 => break,
//!                 consumed => drop(input.drain(..consumed)),
//!             }
//!         }
//!         stream.write_all(&out)?;
//!         out.clear();
//!     }
//!     Ok(flow.finish()?)
//! }
//!
//! fn read_at(stream: &mut (impl Read + Write), client: &mut Client, buffer: &mut [u8], offset: u64) -> Result<()> {
//!     client.submit(Command::read(offset, buffer.len() as u64))?;
//!     let (mut scratch, mut filled) = (vec![0; MIN_INPUT_BUFFER], 0);
//!     loop {
//!         while let Some(Segment::Framing(bytes)) = client.outbound().next() {
//!             let count = stream.write(bytes)?;
//!             client.sent(count);
//!         }
//!         let count = match client.landing() {
//!             // Straight from the stream into the buffer where they belong.
//!             Some(landing) => {
//!                 let count = stream.read(&mut buffer[landing.range])?;
//!                 client.landed(count);
//!                 count
//!             }
//!             None => {
//!                 let count = stream.read(&mut scratch[filled..])?;
//!                 filled += count;
//!                 count
//!             }
//!         };
//!         if count == 0 {
//!             client.eof();
//!         }
//!         loop {
//!             let advance = client.input(&scratch[..filled])?;
//!             let consumed = advance.consumed;
//!             match advance.event {
//!                 Some(Event::Data { range, bytes, .. }) => buffer[range].copy_from_slice(bytes),
//!                 Some(Event::Hole { range, .. }) => buffer[range].fill(0),
//!                 Some(Event::Done { result, .. }) => return Ok(result?),
//!                 Some(_) => {}
//!                 None if consumed == 0 => break,
//!                 None => {}
//!             }
//!             scratch.copy_within(consumed..filled, 0);
//!             filled -= consumed;
//!         }
//!     }
//! }
//! # struct Canned(std::io::Cursor<Vec<u8>>);
//! # impl Read for Canned { fn read(&mut self, b: &mut [u8]) -> std::io::Result<usize> { self.0.read(b) } }
//! # impl Write for Canned {
//! #     fn write(&mut self, b: &[u8]) -> std::io::Result<usize> { Ok(b.len()) }
//! #     fn flush(&mut self) -> std::io::Result<()> { Ok(()) }
//! # }
//! # fn main() -> Result<()> {
//! # use nbd_proto::wire::{flags::TransmissionFlags, greeting::{ExportFacts, Greeting}, number::*, reply::SimpleReply};
//! # let mut server = Vec::new();
//! # Greeting::Oldstyle(ExportFacts { size: 512, flags: TransmissionFlags::HAS_FLAGS }).emit(&mut server);
//! # SimpleReply { error: ErrorValue(0), cookie: Cookie(1 << 32) }.emit(&mut server);
//! # server.extend([7; 512]);
//! # let mut stream = Canned(std::io::Cursor::new(server));
//! # // The canned server says all at once, so the handshake must not take more than its own.
//! # let mut first = Canned(std::io::Cursor::new(stream.0.get_ref()[..152].to_vec()));
//! # stream.0.set_position(152);
//! # let mut client = Client::new(connect(&mut first, "")?, ClientSettings::default());
//! # let mut buffer = [0; 512];
//! # read_at(&mut stream, &mut client, &mut buffer, 0)?;
//! # assert_eq!(buffer, [7; 512]);
//! # Ok(())
//! # }
//! ```
//!
//! # Promises
//!
//! - Whatever a peer sends: no panic, no endless loop, no memory beyond the bounds in [`limits`], and no read that
//!   succeeds without each of its bytes having come exactly once.
//! - How the input is cut into calls never changes what comes out.
//! - Each command that was accepted ends in exactly one `Done`, and so does each request that a server tells of.
//! - An error that ends the connection stays: every later call returns it.
//! - Once warm, a command allocates nothing; but a block status does whose answer has more than 64 KiB of extents: that
//!   much memory is not kept for the next.
//!
//! Where this crate departs from the letter of the specification, [`deviations`] says so and why.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

#[doc = include_str!("../DEVIATIONS.md")]
pub mod deviations {}
pub mod error;
#[cfg(feature = "_fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
pub mod handshake;
pub mod limits;
pub mod observe;
pub mod resume;
pub mod text;
pub mod transmission;
pub mod uri;
pub mod wire;

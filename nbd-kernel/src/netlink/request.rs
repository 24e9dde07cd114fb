//! Requests in their octets.

use std::fmt::Debug;

use netlink_packet_core::{
    DefaultNla, Emitable, NLA_F_NESTED, NLM_F_ACK, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage,
};
use netlink_packet_generic::ctrl::nlas::GenlCtrlAttrs;
use netlink_packet_generic::ctrl::{GenlCtrl, GenlCtrlCmd};
use netlink_packet_generic::{GenlFamily, GenlMessage};

use super::uapi;

/// A request to the driver.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) command: u8,
    pub(super) attributes: Vec<DefaultNla>,
}

impl GenlFamily for Request {
    fn family_name() -> &'static str {
        uapi::FAMILY
    }

    fn command(&self) -> u8 {
        self.command
    }

    fn version(&self) -> u8 {
        uapi::VERSION
    }
}

impl Emitable for Request {
    fn buffer_len(&self) -> usize {
        self.attributes.as_slice().buffer_len()
    }

    fn emit(&self, buffer: &mut [u8]) {
        self.attributes.as_slice().emit(buffer);
    }
}

/// What asks the controller for the numbers of a family.
pub(super) fn get_family(name: &str) -> GenlCtrl {
    GenlCtrl { cmd: GenlCtrlCmd::GetFamily, nlas: vec![GenlCtrlAttrs::FamilyName(name.to_owned())] }
}

/// A request whole, with a demand for an acknowledgement.
pub(super) fn emit<F: GenlFamily + Emitable + Debug>(payload: F, family: u16, sequence: u32) -> Vec<u8> {
    let mut payload = GenlMessage::from_payload(payload);
    payload.set_resolved_family_id(family);
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_ACK;
    header.sequence_number = sequence;
    let mut message = NetlinkMessage::new(header, payload.into());
    message.finalize();
    let mut out = vec![0; message.buffer_len()];
    message.serialize(&mut out);
    out
}

pub(super) fn u32(number: u16, value: u32) -> DefaultNla {
    DefaultNla::new(number, value.to_ne_bytes().into())
}

pub(super) fn u64(number: u16, value: u64) -> DefaultNla {
    DefaultNla::new(number, value.to_ne_bytes().into())
}

/// A string with the NUL that ends it.
pub(super) fn string(number: u16, value: &str) -> DefaultNla {
    DefaultNla::new(number, [value.as_bytes(), &[0]].concat())
}

/// With the flag that kernels with strict checks want.
pub(super) fn nested(number: u16, inner: &[DefaultNla]) -> DefaultNla {
    let mut value = vec![0; inner.buffer_len()];
    inner.emit(&mut value);
    DefaultNla::new(number | NLA_F_NESTED, value)
}

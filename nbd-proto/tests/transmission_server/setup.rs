//! What is agreed on before the transmission phase, haggled for with a real handshake.

use nbd_proto::handshake::{
    Accepted, Offer, ReplyStyle, ServerHandshake, ServerHandshakeEvent, ServerHandshakeSettings, ServerStatus,
};
use nbd_proto::transmission::{Server, ServerSettings};
use nbd_proto::wire::flags::{ClientFlags, TransmissionFlags};
use nbd_proto::wire::info::BlockSizes;
use nbd_proto::wire::number::InfoType;
use nbd_proto::wire::option::{InfoRequest, MetaContextRequest, OptionRequest};

/// The styles that answer in chunks.
pub(crate) const CHUNKED: [ReplyStyle; 2] = [ReplyStyle::Structured, ReplyStyle::Extended];
pub(crate) const STYLES: [ReplyStyle; 3] = [ReplyStyle::Simple, ReplyStyle::Structured, ReplyStyle::Extended];

/// The contexts that are offered. Their ids are their places, from 1.
const OFFERED: [&str; 3] = ["base:allocation", "x:unselected", "x:other"];

/// The ids of the contexts that are selected: 2 is offered, and not selected.
pub(crate) const BASE: u32 = 1;
pub(crate) const OTHER: u32 = 3;

#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) style: ReplyStyle,
    pub(crate) size: u64,
    pub(crate) flags: TransmissionFlags,
    pub(crate) sizes: Option<BlockSizes>,
    /// Which contexts are selected.
    pub(crate) contexts: Vec<&'static str>,
    pub(crate) settings: ServerSettings,
}

impl Setup {
    /// A writable export of 1 MiB that offers all there is, with two contexts where the style allows any.
    pub(crate) fn new(style: ReplyStyle) -> Self {
        let chunked = style != ReplyStyle::Simple;
        Self {
            style,
            size: 1 << 20,
            flags: TransmissionFlags::all() - TransmissionFlags::READ_ONLY,
            sizes: None,
            contexts: if chunked { vec![OFFERED[0], OFFERED[2]] } else { Vec::new() },
            settings: ServerSettings::default(),
        }
    }

    pub(crate) fn with_size(self, size: u64) -> Self {
        Self { size, ..self }
    }

    pub(crate) fn with_flags(self, flags: TransmissionFlags) -> Self {
        Self { flags, ..self }
    }

    pub(crate) fn with_sizes(self, minimum: u32, maximum: u32) -> Self {
        Self { sizes: Some(BlockSizes { minimum, preferred: minimum.max(512), maximum }), ..self }
    }

    pub(crate) fn with_contexts(self, contexts: &[&'static str]) -> Self {
        Self { contexts: contexts.to_vec(), ..self }
    }

    pub(crate) fn with_settings(self, settings: ServerSettings) -> Self {
        Self { settings, ..self }
    }

    pub(crate) fn server(&self) -> Server {
        Server::new(self.accepted(), self.settings)
    }

    /// Plays the options of a client to the handshake that real connections use.
    fn accepted(&self) -> Accepted {
        let mut bytes = Vec::new();
        (ClientFlags::FIXED_NEWSTYLE | ClientFlags::NO_ZEROES).emit(&mut bytes);
        match self.style {
            ReplyStyle::Simple => {}
            ReplyStyle::Structured => OptionRequest::StructuredReply.emit(&mut bytes),
            ReplyStyle::Extended => OptionRequest::ExtendedHeaders.emit(&mut bytes),
        }
        if !self.contexts.is_empty() {
            let selection = MetaContextRequest { export: "export", queries: self.contexts.clone() };
            OptionRequest::SetMetaContext(selection).emit(&mut bytes);
        }
        let requests = [InfoType::BLOCK_SIZE].into_iter().collect();
        OptionRequest::Go(InfoRequest { export: "export", requests }).emit(&mut bytes);

        let mut offer = Offer::new(self.size, self.flags);
        for context in OFFERED.iter().chain(self.contexts.iter().filter(|name| !OFFERED.contains(name))) {
            offer = offer.with_context(*context);
        }
        if let Some(sizes) = self.sizes {
            offer = offer.with_block_sizes(sizes);
        }
        let mut out = Vec::new();
        let mut handshake = ServerHandshake::new(ServerHandshakeSettings::default(), &mut out);
        let mut rest = &bytes[..];
        while handshake.status() != ServerStatus::Ready {
            let advance = handshake.input(rest, &mut out).unwrap();
            rest = &rest[advance.consumed..];
            match advance.event {
                Some(ServerHandshakeEvent::LookUp(_)) => handshake.offer(&offer, &mut out).unwrap(),
                other => assert_eq!((other, advance.consumed > 0), (None, true), "the handshake stands still"),
            }
        }
        assert!(rest.is_empty());
        let accepted = handshake.finish().unwrap();
        assert_eq!(accepted.negotiated().reply_style, self.style);
        assert_eq!(accepted.negotiated().contexts.len(), self.contexts.len());
        accepted
    }
}

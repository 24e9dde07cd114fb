//! What a server's handshake is told beforehand.

use crate::handshake::HandshakeStyle;
use crate::limits::ServerHandshakeLimits;

/// When a server does TLS (spec, *Server-side requirements*).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ServerTls {
    /// Never (the specification's `NOTLS`).
    #[default]
    Off,
    /// When a client asks for it; an export may [require](super::Offer::tls_required) it (`SELECTIVETLS`).
    Offered,
    /// Before anything else is answered (`FORCEDTLS`).
    Required,
}

/// What a [`ServerHandshake`](super::ServerHandshake) is told beforehand.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerHandshakeSettings {
    /// How the connection is opened. Default: fixed newstyle. The others are for testing clients.
    pub style: HandshakeStyle,
    /// Whether the client may do without 124 useless zeroes behind `EXPORT_NAME`. Default: yes.
    pub no_zeroes: bool,
    /// When TLS is done. Default: never. Any other style than fixed newstyle knows no TLS: there
    /// [`Offered`](ServerTls::Offered) counts as off, and with [`Required`](ServerTls::Required) no client can be
    /// served.
    pub tls: ServerTls,
    /// Whether structured replies are had. Default: yes.
    pub structured_replies: bool,
    /// Whether extended headers are had. Default: yes.
    pub extended_headers: bool,
    /// Bounds on what the client may send.
    pub limits: ServerHandshakeLimits,
}

impl Default for ServerHandshakeSettings {
    fn default() -> Self {
        Self {
            style: HandshakeStyle::FixedNewstyle,
            no_zeroes: true,
            tls: ServerTls::Off,
            structured_replies: true,
            extended_headers: true,
            limits: ServerHandshakeLimits::default(),
        }
    }
}

impl ServerHandshakeSettings {
    /// Sets [`style`](Self::style).
    #[must_use]
    pub const fn with_style(mut self, style: HandshakeStyle) -> Self {
        self.style = style;
        self
    }

    /// Sets [`no_zeroes`](Self::no_zeroes).
    #[must_use]
    pub const fn with_no_zeroes(mut self, offer: bool) -> Self {
        self.no_zeroes = offer;
        self
    }

    /// Sets [`tls`](Self::tls).
    #[must_use]
    pub const fn with_tls(mut self, tls: ServerTls) -> Self {
        self.tls = tls;
        self
    }

    /// Sets [`structured_replies`](Self::structured_replies).
    #[must_use]
    pub const fn with_structured_replies(mut self, offer: bool) -> Self {
        self.structured_replies = offer;
        self
    }

    /// Sets [`extended_headers`](Self::extended_headers).
    #[must_use]
    pub const fn with_extended_headers(mut self, offer: bool) -> Self {
        self.extended_headers = offer;
        self
    }

    /// Sets [`limits`](Self::limits).
    #[must_use]
    pub const fn with_limits(mut self, limits: ServerHandshakeLimits) -> Self {
        self.limits = limits;
        self
    }
}

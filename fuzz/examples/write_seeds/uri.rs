//! URIs of every kind, and some that are none.

use crate::Seeds;

pub fn seeds() -> Seeds {
    [
        ("tcp", "nbd://localhost"),
        ("tcp_port_and_name", "nbd://example.com:10810/disk"),
        ("tcp_ipv6", "nbd://[::1]:10809/a%2Fb"),
        ("tcp_ipv6_zone", "nbd://[fe80::1%25eth0]/"),
        ("tls", "nbds://user@host/e?tls-type=x509&tls-hostname=other&tls-verify-peer=0&tls-certificates=/etc/pki"),
        ("tls_psk", "NBDS://user@host?tls-type=psk&tls-psk-file=%2Fkeys"),
        ("unix", "nbd+unix:///disk?socket=/run/nbd.sock"),
        ("unix_abstract", "nbds+unix://user@/?socket=%00name"),
        ("vsock", "nbd+vsock://2:10809/disk"),
        ("experimental", "nbd://h/?x-a=1&x-a=%ff&x-b="),
        ("old_form", "nbd:unix:/run/sock:exportname=disk"),
        ("old_form_tcp", "nbd:localhost:10809"),
        ("password", "nbd://user:secret@host/"),
        ("fragment", "nbd://h/#there"),
        ("half_percent", "nbd://h/%4"),
        ("space", "nbd://h/a b"),
        ("twice", "nbd+unix:///?socket=a&socket=b"),
    ]
    .map(|(name, text)| (name, text.as_bytes().to_vec()))
    .to_vec()
}

//! What `nbd serve` refuses before it serves.

use crate::common::nbd;

#[test]
fn a_wrong_call_says_what_is_right() {
    let long = "x".repeat(4097);
    for (args, says) in [
        (&[][..], "<BACKEND>"),
        (&["64M"], "do you mean memory:64M?"),
        (&["/etc/passwd"], "do you mean file:/etc/passwd?"),
        (&["disk"], "expected memory:SIZE, file:PATH, or null:SIZE"),
        (&["memory:"], "a number of bytes"),
        (&["memory:1.5G"], "a number of bytes"),
        (&["memory:9223372036854775808"], "at most 9223372036854775807 bytes"),
        (&["null:99999999T"], "at most 18446744073709551615 bytes"),
        (&["file:"], "expected a path"),
        (&["memory:1", "memory:1"], "unexpected argument"),
        (&["--export", "memory:1"], "expected NAME=BACKEND"),
        (&["--export", "a=1M"], "do you mean memory:1M?"),
        (&["--export", "a=b=memory:1"], "the name ends at the first ="),
        (&["--export", "a=memory:1", "--description", "text"], "<BACKEND>"),
        (&["--description", &long, "memory:1"], "4096"),
        (&["--unix", "", "memory:1"], "expected a path, or @NAME"),
        (&["--unix", "@", "memory:1"], "expected a name behind @"),
        (&["--unix", "/tmp/s", "--tcp", ":0", "memory:1"], "cannot be used with"),
        (&["--tcp", "10809", "memory:1"], "do you mean the port :10809?"),
        (&["--tcp", "localhost:65536", "memory:1"], "a port from 0 to 65535"),
        (&["--max-connections", "0", "memory:1"], "--max-connections"),
        (&["--max-requests", "65537", "memory:1"], "--max-requests"),
        (&["--handshake-timeout", "0", "memory:1"], "0.001"),
        (&["--idle-timeout", "soon", "memory:1"], "a number of seconds"),
    ] {
        let run = nbd([&["serve"], args].concat());
        assert_eq!(run.code, Some(1), "{args:?}");
        assert!(run.bytes.is_empty() && run.errors.contains(says), "{args:?}: {}", run.errors);
    }
}

#[test]
fn two_disks_of_one_name_are_refused() {
    for (args, says) in [
        (["--export=a=memory:1", "--export=a=null:1", "null:1"], "two exports are named \"a\""),
        (["--export=b\u{1b}=null:1", "--export=b\u{1b}=null:1", "null:1"], "two exports are named \"b\\u{1b}\""),
        (["--export==null:1", "--export=c=null:1", "null:1"], "two exports have no name"),
    ] {
        let failure = nbd([&["serve", "--tcp=:0"][..], &args].concat()).failure();
        assert!(failure.contains(says), "{failure}");
    }
}

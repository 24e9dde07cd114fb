//! When a loss is the end all the same.

use std::time::Duration;

use nbd_driver_std::{ConnectOptions, Error, Reconnect};
use nbd_testkit::{Bird, Phoenix, must_end};

use crate::patient::options;

#[test]
fn an_export_of_another_size_ends_the_client() {
    must_end(|| {
        let Some(mut server) = Phoenix::new(1 << 16, Bird::Nbdkit) else { return };
        server.start();
        let client = options().connect(&server.uri()).unwrap();
        client.write_at(&[1; 512], 0).unwrap();
        server.kill();
        server.file().set_len(1 << 15).unwrap();
        server.start();
        let error = client.read_at(&mut [0; 512], 0).unwrap_err();
        assert!(matches!(error, Error::Changed(_)), "{error}");
        assert!(error.to_string().contains("had 65536 bytes, and now has 32768"), "{error}");
        // It stays so.
        assert!(matches!(client.flush().unwrap_err(), Error::Changed(_)));
        assert!(matches!(client.shutdown().unwrap_err(), Error::Changed(_)));
    });
}

#[test]
fn a_server_that_stays_away_is_given_up_after_the_attempts_it_was_given() {
    must_end(|| {
        let Some(mut server) = Phoenix::new(1 << 16, Bird::Nbdkit) else { return };
        server.start();
        let policy = Reconnect::new().first_delay(Duration::from_millis(1)).max_attempts(Some(3));
        let client = ConnectOptions::new().reconnect(Some(policy)).connect(&server.uri()).unwrap();
        server.kill();
        let mut queue = client.queue();
        queue.read(vec![0; 512], 0).unwrap();
        queue.write(vec![5; 512], 512).unwrap();
        for _ in 0..2 {
            let completion = queue.wait().unwrap();
            assert_eq!(completion.buffer.len(), 512);
            let Err(error @ Error::NotRestored { attempts: 3, .. }) = completion.result else {
                panic!("{:?}", completion.result)
            };
            assert!(error.to_string().contains("3 attempts in"), "{error}");
        }
        assert!(queue.wait().is_none());
        assert!(matches!(client.read_at(&mut [0; 1], 0), Err(Error::NotRestored { .. })));
    });
}

#[test]
fn a_server_that_stays_away_is_given_up_in_time_with_how_the_last_attempt_failed() {
    must_end(|| {
        let Some(mut server) = Phoenix::new(1 << 16, Bird::Nbdkit) else { return };
        server.start();
        let policy = Reconnect::new().first_delay(Duration::from_millis(10)).max_delay(Duration::from_secs(3600));
        let policy = policy.total_time(Some(Duration::from_millis(300)));
        let client = ConnectOptions::new().reconnect(Some(policy)).connect(&server.uri()).unwrap();
        server.kill();
        let error = client.read_at(&mut [0; 512], 0).unwrap_err();
        let Error::NotRestored { ref loss, ref last, .. } = error else { panic!("{error}") };
        assert!(!loss.to_string().contains("connecting"), "{error}");
        assert!(last.to_string().contains("connecting"), "{error}");
    });
}

#[test]
fn a_given_socket_cannot_be_connected_anew() {
    let (ours, _theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    let error = options().connect_fd(ours, "").unwrap_err();
    assert!(error.to_string().contains("cannot be connected anew"), "{error}");
}

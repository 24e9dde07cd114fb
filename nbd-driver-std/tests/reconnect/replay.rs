//! What is sent again.

use nbd_driver_std::nbd_proto::wire::flags::CommandFlags;
use nbd_testkit::{Bird, Phoenix, must_end};

use crate::patient::options;

fn read(client: &nbd_driver_std::Client, offset: u64) -> [u8; 512] {
    let mut buffer = [0; 512];
    client.read_at(&mut buffer, offset).unwrap();
    buffer
}

#[test]
fn what_was_answered_but_not_flushed_is_written_again_before_a_read() {
    must_end(|| {
        let Some(mut server) = Phoenix::new(1 << 16, Bird::Forgetful) else { return };
        server.start();
        let client = options().connect(&server.uri()).unwrap();
        client.write_at(&[1; 512], 0).unwrap();
        client.write_at(&[2; 512], 256).unwrap();
        client.write_zeroes(700, 20).unwrap();
        server.rise();
        let found = read(&client, 256);
        assert!(found[..444] == [2; 444] && found[444..464] == [0; 20] && found[464..] == [2; 48]);
        assert_eq!(read(&client, 0)[..256], [1; 256]);
        // And not once it has been flushed: another one's write stays.
        client.flush().unwrap();
        server.kill();
        std::os::unix::fs::FileExt::write_all_at(&server.file(), &[9; 512], 0).unwrap();
        server.start();
        assert_eq!(read(&client, 0), [9; 512]);
        client.shutdown().unwrap();
    });
}

#[test]
fn what_was_written_through_stays_over_what_was_not() {
    must_end(|| {
        let Some(mut server) = Phoenix::new(1 << 16, Bird::Forgetful) else { return };
        server.start();
        let client = options().connect(&server.uri()).unwrap();
        client.write_at(&[1; 512], 0).unwrap();
        client.write_at_with(&[2; 512], 0, CommandFlags::FUA).unwrap();
        server.rise();
        assert_eq!(read(&client, 0), [2; 512]);
        client.shutdown().unwrap();
    });
}

#[test]
fn a_shutdown_restores_what_the_server_has_lost() {
    must_end(|| {
        let Some(mut server) = Phoenix::new(1 << 16, Bird::Forgetful) else { return };
        server.start();
        let client = options().connect(&server.uri()).unwrap();
        client.write_at(&[7; 512], 512).unwrap();
        server.rise();
        client.flush().unwrap();
        server.rise();
        client.write_at(&[8; 512], 1024).unwrap();
        client.flush().unwrap();
        client.shutdown().unwrap();
        server.kill();
        let mut disk = [0; 1024];
        std::os::unix::fs::FileExt::read_exact_at(&server.file(), &mut disk, 512).unwrap();
        assert!(disk[..512] == [7; 512] && disk[512..] == [8; 512]);
    });
}

#[test]
fn little_is_kept_where_little_may_be() {
    must_end(|| {
        let Some(mut server) = Phoenix::new(1 << 20, Bird::Forgetful) else { return };
        server.start();
        let policy = nbd_driver_std::Reconnect::new().max_kept(8192);
        let client = options().reconnect(Some(policy)).connect(&server.uri()).unwrap();
        for at in 0..256 {
            client.write_at(&[at as u8; 4096], at * 4096).unwrap();
        }
        server.kill();
        // All but the last few have been flushed to make room.
        let mut disk = vec![0; 1 << 20];
        std::os::unix::fs::FileExt::read_exact_at(&server.file(), &mut disk, 0).unwrap();
        assert!((0..250_u64).all(|at| disk[at as usize * 4096] == at as u8));
        server.start();
        for at in 0..256 {
            assert_eq!(read(&client, at * 4096), [at as u8; 512]);
        }
    });
}

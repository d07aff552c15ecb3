//! A full or broken disk under the epoch log.

use super::{Fault, Part, ended_because, healthy, start};
use crate::harness::describe;
use crate::server::connect;

#[tokio::test]
async fn a_log_that_cannot_be_written() {
    let Some((mut server, disk, mut writer)) = start("1h").await else { return };
    disk.remember();
    server.kill();
    for fault in [Fault::Full, Fault::HalfThenFull, Fault::SyncFails] {
        for at in 1..=4 {
            let client = healthy(&mut server, &disk, 2, &mut writer).await;
            let (before, logged) = (writer.done, server.log().len());
            disk.fail(Part::Log, fault, at);
            let refused = loop {
                if let Err(error) = writer.write(&client).await {
                    break error;
                }
            };
            assert_eq!(writer.done, before + at - 1, "{fault:?} at {at}: each write is one of the log");
            assert!(refused.is_closed() || refused.code().is_some(), "{refused:?}");
            eprintln!("{fault:?} at {at}: {}", describe(&refused));
            ended_because(&mut server, logged, fault);
            if at % 2 == 0 {
                disk.forget(&server.data(), None);
            } else {
                disk.forget_nothing();
            }
            // While it is still so, nothing gets worse.
            let logged = server.log().len();
            disk.fail(Part::Log, fault, 1);
            match server.restart(1) {
                Ok(()) => {
                    writer.check(&connect(server.url()).await.unwrap()).await;
                    server.kill();
                }
                Err(_) => ended_because(&mut server, logged, fault),
            }
            disk.forget(&server.data(), None);
        }
    }
    healthy(&mut server, &disk, 2, &mut writer).await;
    server.stop().unwrap();
}

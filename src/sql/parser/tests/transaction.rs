//! BEGIN, COMMIT, SAVEPOINT.

use super::{one, refuses};
use crate::statement::*;

#[test]
fn transactions() {
    let begin = |modes, start| Statement::Transaction(Transaction::Begin { modes, start });
    assert_eq!(one("BEGIN"), begin(TransactionModes::default(), false));
    let modes = TransactionModes { isolation: Some(IsolationLevel::Serializable), read_only: Some(false), deferrable: Some(true) };
    assert_eq!(one("BEGIN TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ WRITE, DEFERRABLE"), begin(modes, false));
    assert_eq!(one("START TRANSACTION ISOLATION LEVEL SERIALIZABLE READ WRITE DEFERRABLE"), begin(modes, true));
    for sql in ["COMMIT", "COMMIT WORK", "END", "END TRANSACTION", "COMMIT AND NO CHAIN"] {
        assert_eq!(one(sql), Statement::Transaction(Transaction::Commit), "{sql}");
    }
    for sql in ["ROLLBACK", "ABORT", "ROLLBACK WORK", "ABORT TRANSACTION AND NO CHAIN"] {
        assert_eq!(one(sql), Statement::Transaction(Transaction::Rollback), "{sql}");
    }
    let name = |statement| match statement {
        Statement::Transaction(Transaction::Savepoint(name)) => format!("savepoint {name}"),
        Statement::Transaction(Transaction::Release(name)) => format!("release {name}"),
        Statement::Transaction(Transaction::RollbackTo(name)) => format!("rollback to {name}"),
        other => panic!("{other:?}"),
    };
    assert_eq!(name(one("SAVEPOINT a")), "savepoint a");
    assert_eq!(name(one("RELEASE SAVEPOINT a")), "release a");
    assert_eq!(name(one("RELEASE a")), "release a");
    assert_eq!(name(one("ROLLBACK TO SAVEPOINT a")), "rollback to a");
    assert_eq!(name(one("ROLLBACK WORK TO a")), "rollback to a");
    assert!(matches!(one("COMMIT PREPARED 'x'"), Statement::Unsupported(_)));
    refuses(&[
        ("COMMIT AND CHAIN", "0A000", "AND CHAIN is not supported yet", "AND"),
        ("BEGIN READ ONLY READ WRITE", "42601", "conflicting or redundant options", "READ WRITE"),
        ("BEGIN READ ONLY,", "42601", "syntax error at end of input", "$"),
        ("BEGIN ISOLATION LEVEL NONE", "42601", "syntax error at or near \"NONE\"", "NONE"),
        ("START", "42601", "syntax error at end of input", "$"),
        ("BEGIN SELECT 1", "42601", "syntax error at or near \"SELECT\"", "SELECT"),
    ]);
}

use icecore::Enqueue;
use tokio::sync::watch;

use super::*;
use crate::settings::Settings;

const WAIT: Duration = Duration::from_secs(60);

fn asked() -> Asked {
    Asked { queue: String::new(), wait: WAIT, lease: WAIT }
}

/// With what would tell of the end.
fn state() -> (Arc<State>, Account, watch::Sender<bool>) {
    let settings = Settings::default();
    let account = Account::for_tests(&settings);
    let (sender, receiver) = watch::channel(false);
    (Arc::new(State::new(settings, Vec::new(), receiver)), account, sender)
}

#[tokio::test]
async fn a_message_that_did_not_reach_its_receiver_has_had_no_attempt() {
    let kv = Kv::in_memory().unwrap();
    kv.enqueue(Enqueue::new("only once").backoff([])).unwrap();
    let (state, account, _end) = state();
    for _ in 0..3 {
        let given = Given::wait(&state, &account, (0, &kv), asked()).await.unwrap().unwrap();
        assert_eq!((given.message().attempt(), given.message().is_last_attempt()), (1, true));
        // Its receiver has gone.
        drop(given);
    }
    // One that goes while it waits takes nothing with it, whatever it has begun.
    for _ in 0..20 {
        let wait = Given::wait(&state, &account, (0, &kv), asked());
        tokio::time::timeout(Duration::ZERO, wait).await.map(drop).unwrap_or_default();
    }
    let given = Given::wait(&state, &account, (0, &kv), asked()).await.unwrap().unwrap();
    assert_eq!(given.message().attempt(), 1);
}

#[tokio::test]
async fn payloads_are_paid_for_as_long_as_they_are_leased() {
    let kv = Kv::in_memory().unwrap();
    kv.enqueue(Enqueue::new(vec![0_u8; 10_000]).backoff([WAIT])).unwrap();
    let (state, account, _end) = state();
    let given = Given::wait(&state, &account, (0, &kv), asked()).await.unwrap().unwrap();
    assert_eq!(state.budget.paid(Kind::Messages), 10_240);
    let receipt = given.receipt().to_owned();
    given.keep(WAIT);
    assert_eq!(state.budget.paid(Kind::Messages), 10_240);
    let leased = state.leases.take(&receipt, 0).unwrap();
    settle(&state.budget.writes, leased, true).await.unwrap().unwrap();
    assert_eq!(state.budget.paid(Kind::Messages), 0);
}

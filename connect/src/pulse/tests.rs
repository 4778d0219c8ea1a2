use std::future::pending;

use super::*;

const STALL: Duration = Duration::from_secs(30);

/// How long a client may do nothing after `done`.
async fn patience(done: impl FnOnce(&Arc<Pulse>)) -> Option<Duration> {
    let (pulse, began) = (Pulse::new(STALL), Instant::now());
    done(&pulse);
    let day = Duration::from_secs(86_400);
    let ended = tokio::time::timeout(day, unless_stalled(pending::<()>(), &pulse)).await;
    ended.ok().map(|ended| {
        assert_eq!(ended, None);
        // Timers count in milliseconds.
        Duration::from_secs(began.elapsed().as_secs())
    })
}

#[tokio::test(start_paused = true)]
async fn a_client_is_behind_when_it_holds_a_piece_and_takes_nothing() {
    let piece = |length| Bytes::from(vec![0; length]);
    let mut held = Vec::new();
    assert_eq!(patience(|_| {}).await, None);
    assert_eq!(patience(|pulse| held.push(pulse.give(piece(9), ()))).await, Some(STALL));
    assert_eq!(patience(|pulse| drop(pulse.give(piece(9), ()))).await, None, "it took all");
    let cloned = |pulse: &Arc<Pulse>| {
        let given = pulse.give(piece(9), ());
        held.push(given.slice(8..));
    };
    assert_eq!(patience(cloned).await, Some(STALL), "the last byte holds all of it");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_a_piece_now_and_then_is_behind_in_the_end() {
    let pulse = Pulse::new(STALL);
    let bytes = 60 * (256 << 10);
    pulse.begin(bytes);
    let all = Bytes::from(vec![0; bytes]);
    let mut pieces: Vec<Bytes> =
        (0..60).map(|place| pulse.give(all.slice(place << 18..(place + 1) << 18), ())).collect();
    let began = Instant::now();
    let taking = async {
        loop {
            tokio::time::sleep(STALL / 2).await;
            pieces.pop();
        }
    };
    assert_eq!(unless_stalled(taking, &pulse).await, None::<()>);
    assert_eq!(began.elapsed().as_secs(), 60 + STALL.as_secs());
}

#[tokio::test]
async fn what_was_paid_is_given_back_with_the_last_byte_and_who_waits_for_it_is_woken() {
    let pulse = Pulse::new(STALL);
    let paid = Arc::new(());
    let piece = pulse.give(Bytes::from_static(b"piece"), Arc::clone(&paid));
    let waiting = tokio::spawn({
        let pulse = Arc::clone(&pulse);
        async move { poll_fn(|context| pulse.poll_taken(context)).await }
    });
    let rest = piece.slice(4..);
    drop(piece);
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished() && !pulse.is_taken());
    assert_eq!(Arc::strong_count(&paid), 2);
    drop(rest);
    waiting.await.unwrap();
    assert!(pulse.is_taken());
    assert_eq!(Arc::strong_count(&paid), 1);
}

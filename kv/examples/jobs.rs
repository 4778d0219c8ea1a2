//! Jobs with retries and dead letters: orders are sent to a queue together with their records,
//! worked on by two threads, retried when the shop is down, and put aside when nothing helps.
//!
//! `cargo run -p icecore --example jobs`

use std::time::Duration;

use icecore::{Enqueue, Error, Key, Kv, ListenOptions, Message, Value, key, prefix};

/// Takes an order: its record, and the job to deliver it, together or not at all.
fn order(kv: &Kv, number: u64, what: &str) -> Result<(), Error> {
    let job = Enqueue::new(number)
        .queue("deliveries")
        .backoff([Duration::from_millis(20), Duration::from_millis(50)])
        .keys_if_undelivered([key!["undelivered", number]]);
    let record = key!["order", number];
    let outcome = kv.atomic().check_absent(&record).set(&record, what).enqueue(job).commit()?;
    match outcome.versionstamp() {
        Some(_) => println!("order {number}: {what}"),
        None => println!("order {number} has been taken before"),
    }
    Ok(())
}

/// Delivers one order. It may be called again for the same order: also when it had succeeded, if
/// the process ended before that was noted. So the record of the delivery is set only once.
fn deliver(kv: &Kv, job: &Message) -> Result<(), String> {
    let Value::U64(number) = job.payload() else { return Err("not a number".to_owned()) };
    let order = kv.get(key!["order", *number]).map_err(|error| error.to_string())?;
    let what = order.str().map_err(|error| error.to_string())?;
    let attempt = job.attempt();
    if what.starts_with("unicorn") || (what.starts_with("snow") && attempt < 3) {
        println!("attempt {attempt} at order {number}: no {what}");
        return Err(format!("no {what} in the shop"));
    }
    let record = key!["delivered", *number];
    let delivered = kv.atomic().check_absent(&record).set(record, what).commit();
    match delivered.map_err(|error| error.to_string())?.versionstamp() {
        Some(_) => println!("attempt {attempt} at order {number}: delivered"),
        None => println!("attempt {attempt} at order {number}: it was delivered before"),
    }
    Ok(())
}

fn main() -> Result<(), Error> {
    let kv = Kv::in_memory()?;
    let ends = ["delivered", "undelivered"];
    let orders = [(1, "books"), (2, "snow"), (3, "unicorns"), (3, "unicorns")];
    // Whatever becomes of an order, one of its two keys appears.
    let watched: Vec<Key> = ends.iter().flat_map(|end| (1..=3).map(|n| key![*end, n])).collect();
    let watch = kv.watch(watched)?;

    let shop = kv.clone();
    let options = ListenOptions { concurrency: 2 };
    let listener = kv.queue("deliveries").listen(options, move |job| deliver(&shop, job))?;
    for (number, what) in orders {
        order(&kv, number, what)?;
    }
    for entries in watch {
        if entries?.iter().filter(|entry| entry.is_present()).count() == 3 {
            break;
        }
    }
    listener.stop()?;

    for entry in kv.list(prefix!["undelivered"]) {
        println!("{} needs a human", entry?.key);
    }
    assert_eq!(kv.count(prefix!["delivered"])?, 2);
    kv.close()
}

//! People who are found by number, by mail address and by city.
//!
//! ```text
//! ["person", id]                 name, address and city
//! ["person_by_mail", mail]       id: one person at most
//! ["person_by_city", city, id]   nothing: the key says it all
//! ```
//!
//! The entries of an index are set and deleted by the same atomic operation as the person, so no
//! reader ever sees one without the other. The check on the person makes sure that what is removed
//! from the indexes is what is in them; the check on the address makes sure that it has one owner.
//!
//! ```text
//! cargo run -p icecore --example secondary_index
//! ```

use icecore::{Atomic, Commit, Entry, Error, Key, Kv, Part, Value, key, prefix};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Person {
    name: String,
    mail: String,
    city: String,
}

/// What became of a change.
#[derive(Debug, PartialEq, Eq)]
enum Change {
    Done,
    /// Somebody else has the address.
    MailIsTaken,
}

struct People {
    kv: Kv,
}

fn by_mail(person: &Person) -> Key {
    key!["person_by_mail", &person.mail]
}

fn by_city(person: &Person, id: u64) -> Key {
    key!["person_by_city", &person.city, id]
}

/// Leaves the person out of the indexes.
fn unlist<'kv>(atomic: Atomic<'kv>, id: u64, person: &Person) -> Atomic<'kv> {
    atomic.delete(by_mail(person)).delete(by_city(person, id))
}

fn person_of(entry: &Entry) -> Result<Option<Person>, Error> {
    if entry.is_present() { entry.typed().map(Some) } else { Ok(None) }
}

impl People {
    /// Gives number `id` to `person`, whoever had it before.
    fn put(&self, id: u64, person: &Person) -> Result<Change, Error> {
        loop {
            let [entry, mail] = self.kv.get_many([key!["person", id], by_mail(person)])?;
            if mail.is_present() && mail.u64()? != id {
                return Ok(Change::MailIsTaken);
            }
            let mut atomic = self.kv.atomic().check(&entry).check(&mail);
            if let Some(before) = person_of(&entry)? {
                atomic = unlist(atomic, id, &before);
            }
            // Mutations take effect in this order: what was unlisted may be listed again.
            let outcome = atomic
                .set(&entry.key, Value::typed(person)?)
                .set(&mail.key, id)
                .set(by_city(person, id), "")
                .commit()?;
            if let Commit::Done { .. } = outcome {
                return Ok(Change::Done);
            }
        }
    }

    fn remove(&self, id: u64) -> Result<(), Error> {
        loop {
            let entry = self.kv.get(key!["person", id])?;
            let Some(person) = person_of(&entry)? else { return Ok(()) };
            let atomic = unlist(self.kv.atomic().check(&entry), id, &person);
            if let Commit::Done { .. } = atomic.delete(&entry.key).commit()? {
                return Ok(());
            }
        }
    }

    fn with_mail(&self, mail: &str) -> Result<Option<Person>, Error> {
        // One moment for both reads, so the index never leads nowhere.
        let snapshot = self.kv.snapshot()?;
        let id = snapshot.get(key!["person_by_mail", mail])?;
        if !id.is_present() {
            return Ok(None);
        }
        person_of(&snapshot.get(key!["person", id.u64()?])?)
    }

    /// The numbers of those who live in `city`, in order.
    fn in_city(&self, city: &str) -> Result<Vec<u64>, Error> {
        let mut ids = Vec::new();
        for key in self.kv.keys(prefix!["person_by_city", city]) {
            let parts = key?.parts()?;
            let id = parts.last().and_then(Part::as_int).and_then(|id| u64::try_from(id).ok());
            ids.extend(id);
        }
        Ok(ids)
    }
}

fn main() -> Result<(), Error> {
    let people = People { kv: Kv::in_memory()? };
    let person = |name: &str, mail: &str, city: &str| Person {
        name: name.to_owned(),
        mail: mail.to_owned(),
        city: city.to_owned(),
    };
    let ada = person("Ada", "ada@example.org", "London");
    let bob = person("Bob", "bob@example.org", "London");
    assert_eq!(people.put(1, &ada)?, Change::Done);
    assert_eq!(people.put(2, &bob)?, Change::Done);
    assert_eq!(people.in_city("London")?, [1, 2]);
    assert_eq!(people.with_mail("bob@example.org")?, Some(bob));

    let eve = person("Eve", "ada@example.org", "Oslo");
    assert_eq!(people.put(3, &eve)?, Change::MailIsTaken);

    // Ada moves, and changes her address.
    let moved = person("Ada", "ada@example.com", "Turin");
    assert_eq!(people.put(1, &moved)?, Change::Done);
    assert_eq!(people.in_city("London")?, [2]);
    assert_eq!(people.in_city("Turin")?, [1]);
    assert_eq!(people.with_mail("ada@example.org")?, None);
    assert_eq!(people.put(3, &eve)?, Change::Done, "the address is free");

    for id in 1..=3 {
        people.remove(id)?;
    }
    assert_eq!(people.kv.count(..)?, 0, "nothing is left in any index");
    println!("people and indexes were in step");
    Ok(())
}

#[test]
fn people_and_their_indexes_stay_in_step() -> Result<(), Error> {
    main()
}

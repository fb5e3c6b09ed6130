//! Keys on the server.

use std::collections::HashMap;

use super::key_on_server;

/// What chooses the slot of a key in a cluster, by the specification of clusters.
fn slot_part(key: &str) -> &str {
    let tag = key.find('{').and_then(|open| {
        let rest = &key[open + 1..];
        rest.find('}').map(|end| &rest[..end])
    });
    tag.filter(|tag| !tag.is_empty()).unwrap_or(key)
}

#[test]
fn each_key_has_a_place_of_its_own_and_all_its_limits_are_in_one_slot() {
    let mut keys = vec![String::new()];
    for length in 0..5 {
        let longer: Vec<String> = keys.iter().filter(|key| key.len() == length).cloned().collect();
        keys.extend(longer.iter().flat_map(|key| "{}:a".chars().map(move |last| format!("{key}{last}"))));
    }
    assert_eq!(keys.len(), (0..=5).map(|length| 4_usize.pow(length)).sum());
    let mut places = HashMap::new();
    for key in &keys {
        for name in ["a", "a:", ":"] {
            let place = key_on_server(name, key);
            assert_eq!(slot_part(&place), slot_part(&key_on_server("b", key)), "{key:?}");
            let other = places.insert(place, (name, key));
            assert_eq!(other, None, "{name:?} {key:?}");
        }
    }
}

#[test]
fn a_usual_key_has_the_form_that_the_documentation_tells() {
    assert_eq!(key_on_server("logins", "ada"), "logins:{ada}");
}

use super::*;

#[test]
fn admission_counts_in_all_and_by_address() {
    let admission = Admission::new(3, 2);
    let (a, b) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
    let first = admission.admit(a);
    let _second = admission.admit(a);
    assert!(first.is_some() && admission.admit(a).is_none());
    let _third = admission.admit(b);
    assert!(admission.admit(b).is_none());
    drop(first);
    assert_eq!(admission.open(), 2);
    assert!(admission.admit(a).is_some());
}

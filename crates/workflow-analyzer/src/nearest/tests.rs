use super::nearest;

#[test]
fn names_are_found_by_what_people_type() {
    let models = [
        "SDXL/sd_xl_base_1.0.safetensors",
        "sd_xl_refiner_1.0.safetensors",
        "v1-5-pruned-emaonly.safetensors",
        "flux1-dev.safetensors",
        "flux1-schnell.safetensors",
    ];
    let samplers = ["euler", "euler_ancestral", "dpmpp_2m", "dpmpp_2m_sde", "ddim"];
    let cases: [(&str, &[&str], &[&str]); 8] = [
        ("sdxl base", &models, &["SDXL/sd_xl_base_1.0.safetensors"]),
        ("v1-5-pruned-emaonly.ckpt", &models, &["v1-5-pruned-emaonly.safetensors"]),
        ("FLUX1-Dev", &models, &["flux1-dev.safetensors"]),
        ("flux", &models, &["flux1-dev.safetensors", "flux1-schnell.safetensors"]),
        ("DPM++ 2M", &samplers, &["dpmpp_2m"]),
        ("euler a", &samplers, &["euler"]),
        ("zzz", &samplers, &[]),
        ("", &samplers, &[]),
    ];
    for (name, candidates, expected) in cases {
        let found = nearest(name, candidates.iter().copied(), 3);
        assert_eq!(found.get(..expected.len()), Some(expected), "{name}: {found:?}");
        assert_eq!(found.is_empty(), expected.is_empty(), "{name}: {found:?}");
    }
}

#[test]
fn a_monstrous_name_costs_no_more_than_a_long_one() {
    let monster = "é".repeat(1_000_000);
    assert!(nearest(&monster, ["a", "euler"].into_iter(), 3).is_empty());
}

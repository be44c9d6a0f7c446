//! What older files have under other names.

/// The class that took the place of one that is gone, as the editor replaces it when it loads a file.
pub(super) fn current_class(class: &str) -> &str {
    match class {
        "T2IAdapterLoader" => "ControlNetLoader",
        "ConditioningAverage " => "ConditioningAverage",
        "SDV_img2vid_Conditioning" => "SVD_img2vid_Conditioning",
        "Load3DAnimation" => "Load3D",
        "Preview3DAnimation" => "Preview3D",
        other => other,
    }
}

/// The samplers of the first files were called `sample_euler` where they are `euler` now.
pub(super) fn current_sampler(class: &str, widget: &str, value: &str) -> Option<String> {
    let sampler = matches!(class, "KSampler" | "KSamplerAdvanced") && widget == "sampler_name";
    value.strip_prefix("sample_").filter(|_| sampler).map(str::to_owned)
}

#include "fathom/train/recipe/spectral_config.h"

namespace fathom {

void add_fields(FieldList& list, SpectralConfig& c) {
  const char* const kOn = "spectral_clip_beta > 0";
  const auto on = [&c] { return c.is_on(); };
  list.section("spectral");
  list.add("spectral_clip_beta", c.clip_beta,
           "largest singular value that an inner matrix has after an update, 0: any")
      .at_least(0)
      .at_most(1e30);
  list.add<SpectralMethod>("spectral_method", c.method,
                           "svd: exact; polar_express: to 0.2 %, by products of matrices; "
                           "reference_ns5: the five steps of Muon, which bound nothing strictly "
                           "and change smaller values too",
                           {{"svd", SpectralMethod::kSvd},
                            {"polar_express", SpectralMethod::kPolarExpress},
                            {"reference_ns5", SpectralMethod::kReferenceNs5}})
      .needs(kOn, on);
  list.add("spectral_every", c.every, "updates between two that are followed by it")
      .at_least(1)
      .at_most(1e12)
      .needs(kOn, on);
  list.add("spectral_split_qkv", c.split_qkv,
           "the maps to queries, keys and values are a matrix each; false: one for all three")
      .needs(kOn, on);
  if (Field* steps = list.find("muon_ns_steps"))
    steps->or_needs("spectral_clip_beta > 0 with spectral_method = reference_ns5",
                    [&c] { return c.is_on() && c.method == SpectralMethod::kReferenceNs5; });
}

}  // namespace fathom

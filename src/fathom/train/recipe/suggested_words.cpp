#include "fathom/train/recipe/suggested_words.h"

#include "fathom/data/corpus.h"
#include "fathom/track/run_folder.h"
#include "fathom/train/recipe/built_in_plans.h"
#include "fathom/train/recipe/registry.h"

namespace fathom {

std::vector<Suggestion> suggested_presets() {
  std::vector<Suggestion> out;
  for (const Preset& preset : registry().presets()) out.push_back({preset.name, preset.summary});
  return out;
}

std::vector<Suggestion> suggested_runs() {
  return as_suggestions(run_names());
}

std::vector<Suggestion> suggested_corpora() {
  return as_suggestions(prepared_corpora());
}

std::vector<Suggestion> suggested_checkpoints() {
  return as_suggestions({"auto", "best", "last"});
}

std::vector<Suggestion> suggested_plans() {
  std::vector<Suggestion> out;
  for (const BuiltInPlan& built_in : built_in_plans())
    out.push_back({built_in.plan.name, built_in.summary});
  for (const ShippedPlan& shipped : registry().plans())
    out.push_back({shipped.stem, "shipped with " + shipped.experiment});
  return out;
}

std::vector<Suggestion> suggested_devices() {
  return as_suggestions({"auto", "cpu", "cuda"});
}

}  // namespace fathom

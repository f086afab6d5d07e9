#include "fathom/train/recipe/plan_keys.h"

#include <fmt/format.h>

#include <set>

#include "fathom/base/error.h"
#include "fathom/model/spec/architecture.h"
#include "fathom/train/recipe/registry.h"

namespace fathom {

PlanKeys::PlanKeys() {
  lists_.push_back(std::make_unique<Scratch>(RunConfig()));
}

std::vector<const Field*> PlanKeys::find(const std::string& key) {
  if (const Field* field = everyones().find(key)) return {field};
  if (lists_.size() == 1) {
    std::set<std::string> seen;
    for (const Preset& preset : registry().presets()) {
      RunConfig config = preset_config(preset.name);
      const Architecture* own = config.model.architecture.get();
      if (own != nullptr && seen.insert(own->name).second)
        lists_.push_back(std::make_unique<Scratch>(std::move(config)));
    }
  }
  std::vector<const Field*> found;
  for (const auto& scratch : lists_)
    if (const Field* field = scratch->list.find(key)) found.push_back(field);
  return found;
}

void refuse_for_stages(const Field& field, const std::string& at, const Budget& budget) {
  if (field.name() == "max_iters")
    misuse(at + " sets max_iters and lasts for " + to_text(budget),
           "a stage's length is its budget: \"steps\": N beside the data set");
  misuse(fmt::format("{} sets {}, which is one for the whole run", at, field.name()),
         fmt::format("give it to `fathom train` as --{}; a stage may set {}", field.name(),
                     keys_of_stages()));
}

}  // namespace fathom

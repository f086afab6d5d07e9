#include "fathom/model/walk/observer.h"

#include <algorithm>

namespace fathom {
namespace {

constexpr const char* kIteration = "iteration.";

template <class T>
T& place(std::vector<T>& by_step, int step) {
  const auto i = static_cast<size_t>(step);
  if (by_step.size() <= i) by_step.resize(i + 1);
  return by_step[i];
}

template <class T>
const T& get(const std::vector<T>& by_step, int step) {
  static const T nothing{};
  const auto i = static_cast<size_t>(step);
  return step >= 0 && i < by_step.size() ? by_step[i] : nothing;
}

}  // namespace

std::string iteration_name(int loop_group) {
  return kIteration + std::to_string(loop_group);
}

bool Kept::keeps(std::string_view name) const {
  return std::any_of(seen_->names.begin(), seen_->names.end(),
                     [&](const Values& known) { return known.name == name; });
}

void Kept::keep(const std::string& name) {
  if (!keeps(name)) seen_->names.push_back({name, {}});
}

Observer Kept::observer() const {
  Observer observer;
  observer.blocks = std::any_of(seen_->names.begin(), seen_->names.end(), [](const Values& known) {
    return known.name != "door" && known.name != "head" && known.name.rfind(kIteration, 0) != 0;
  });
  observer.see = [seen = seen_](const Sight& sight) {
    for (Values& values : seen->names) {
      if (values.name != sight.name) continue;
      place(values.by_step, sight.step.index).push_back(sight.x);
      if (sight.name == "door")
        place(seen->doors, sight.step.index) = std::make_shared<const WalkState>(sight.state);
    }
  };
  return observer;
}

bool Kept::has_seen(std::string_view name) const {
  for (const Values& values : seen_->names)
    if (values.name == name) return !values.by_step.empty();
  return false;
}

const std::vector<Tensor>& Kept::all(int step, std::string_view name) const {
  static const std::vector<Tensor> nothing;
  for (const Values& values : seen_->names)
    if (values.name == name) return get(values.by_step, step);
  return nothing;
}

Tensor Kept::at(int step, std::string_view name) const {
  const std::vector<Tensor>& seen = all(step, name);
  return seen.empty() ? Tensor() : seen.back();
}

const std::shared_ptr<const WalkState>& Kept::door(int step) const {
  return get(seen_->doors, step);
}

}  // namespace fathom

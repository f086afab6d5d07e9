#include "fathom/model/walk/observer.h"

#include <algorithm>

namespace fathom {
namespace {

template <class T>
void set(std::vector<T>& by_step, int step, T value) {
  if (by_step.size() <= static_cast<size_t>(step)) by_step.resize(static_cast<size_t>(step) + 1);
  by_step[static_cast<size_t>(step)] = std::move(value);
}

template <class T>
const T& get(const std::vector<T>& by_step, int step) {
  static const T nothing{};
  const auto i = static_cast<size_t>(step);
  return step >= 0 && i < by_step.size() ? by_step[i] : nothing;
}

}  // namespace

bool Kept::keeps(std::string_view name) const {
  return std::any_of(seen_->names.begin(), seen_->names.end(),
                     [&](const Values& known) { return known.name == name; });
}

void Kept::keep(const std::string& name) {
  if (!keeps(name)) seen_->names.push_back({name, {}});
}

Observer Kept::observer() const {
  return [seen = seen_](const Sight& sight) {
    for (Values& values : seen->names) {
      if (values.name != sight.name) continue;
      set(values.by_step, sight.step.index, sight.x);
      if (sight.name == "door")
        set(seen->doors, sight.step.index, std::make_shared<const WalkState>(sight.state));
    }
  };
}

const Tensor& Kept::at(int step, std::string_view name) const {
  static const Tensor nothing;
  for (const Values& values : seen_->names)
    if (values.name == name) return get(values.by_step, step);
  return nothing;
}

const std::shared_ptr<const WalkState>& Kept::door(int step) const {
  return get(seen_->doors, step);
}

}  // namespace fathom

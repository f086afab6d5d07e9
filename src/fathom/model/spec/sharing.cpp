#include "fathom/model/spec/sharing.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "fathom/base/error.h"
#include "fathom/base/text.h"

namespace fathom {
namespace {

bool is_given(const ChoiceOrTree& sharing) {
  return !sharing.choice.empty() || !sharing.list.empty();
}

const ChoiceOrTree& own_sharing(const WiringConfig& c, ModuleClass which) {
  return which == ModuleClass::kAttention ? c.share_attn
         : which == ModuleClass::kMlp     ? c.share_mlp
                                          : c.share_norm;
}

const ChoiceOrTree& sharing_of(const WiringConfig& c, ModuleClass which) {
  const ChoiceOrTree& own = own_sharing(c, which);
  return is_given(own) ? own : c.share;
}

// Reads a list, and refuses what numbers no instances.
class InstanceReader {
 public:
  InstanceReader(std::string key, const std::vector<IntTree>& list, int64_t n_layer)
      : shown_(fmt::format("{} = {}", key, shown_tree(list))),
        key_(std::move(key)),
        list_(list),
        n_layer_(n_layer) {}

  Instances read() const {
    if (static_cast<int64_t>(list_.size()) != n_layer_)
      misuse(fmt::format("{} has {}, n_layer = {} needs {}", shown_,
                         counted(static_cast<int64_t>(list_.size()), "entry", "entries"), n_layer_,
                         n_layer_),
             fmt::format("give one per layer, or {}=one or free", key_));
    Instances instances;
    std::set<int64_t> known;
    for (size_t i = 0; i < list_.size(); ++i) {
      const IntTree& entry = list_[i];
      if (entry.is_list) refuse(i, "is a list", "an entry is the number of an instance");
      if (entry.number < 0)
        refuse(i, fmt::format("is {}", entry.number), "instances are numbered from 0");
      known.insert(entry.number);
    }
    check_gaps(known);
    for (const IntTree& entry : list_) instances.of_layer.push_back(static_cast<int>(entry.number));
    instances.count = static_cast<int>(known.size());
    return instances;
  }

 private:
  [[noreturn]] void refuse(size_t layer, const std::string& what, const std::string& hint) const {
    misuse(fmt::format("{}: the entry of layer {} {}", shown_, layer, what), hint);
  }

  void check_gaps(const std::set<int64_t>& known) const {
    int64_t expected = 0;
    for (const int64_t number : known) {
      if (number == expected++) continue;
      const auto at = std::find_if(list_.begin(), list_.end(),
                                   [&](const IntTree& entry) { return entry.number == number; });
      refuse(static_cast<size_t>(at - list_.begin()),
             fmt::format("is instance {}, and no layer has instance {}", number, expected - 1),
             "instances are numbered from 0 without gaps: one without a layer would have no use");
    }
  }

  const std::string shown_, key_;
  const std::vector<IntTree>& list_;
  const int64_t n_layer_;
};

}  // namespace

const char* class_name(ModuleClass which) {
  return which == ModuleClass::kAttention ? "attention"
         : which == ModuleClass::kMlp     ? "MLP"
                                          : "norms";
}

const char* sharing_key(const WiringConfig& c, ModuleClass which) {
  if (!is_given(own_sharing(c, which))) return "share";
  return which == ModuleClass::kAttention ? "share_attn"
         : which == ModuleClass::kMlp     ? "share_mlp"
                                          : "share_norm";
}

std::string shown_sharing(const WiringConfig& c, ModuleClass which) {
  const ChoiceOrTree& sharing = sharing_of(c, which);
  return sharing.choice.empty() ? shown_tree(sharing.list) : sharing.choice;
}

Instances instances_of(const WiringConfig& c, ModuleClass which, int64_t n_layer) {
  const ChoiceOrTree& sharing = sharing_of(c, which);
  if (!sharing.list.empty())
    return InstanceReader(sharing_key(c, which), sharing.list, n_layer).read();
  const bool is_one = sharing.choice == "one";
  Instances instances;
  for (int64_t i = 0; i < n_layer; ++i)
    instances.of_layer.push_back(is_one ? 0 : static_cast<int>(i));
  instances.count = is_one ? 1 : static_cast<int>(n_layer);
  return instances;
}

}  // namespace fathom

// Values of the settings that an experiment adds, by name. Slots stay where they are while others
// are added, as FieldList asks.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include "fathom/base/error.h"

namespace fathom {

class OwnSettings {
 public:
  // The slot, made with this value if there is none yet.
  bool& flag(const std::string& name, bool value) { return make(flags_, name, value); }
  int64_t& integer(const std::string& name, int64_t value) { return make(integers_, name, value); }
  double& number(const std::string& name, double value) { return make(numbers_, name, value); }
  // With choices it is one of them: list.add<std::string>("k", settings.text("k", "soft"), "...",
  // {{"soft", "soft"}, {"hard", "hard"}}).
  std::string& text(const std::string& name, std::string value) {
    return make(texts_, name, std::move(value));
  }

  // Throw Error where add_fields made no such slot.
  bool flag(const std::string& name) const { return get(flags_, name, "flag"); }
  int64_t integer(const std::string& name) const { return get(integers_, name, "integer"); }
  double number(const std::string& name) const { return get(numbers_, name, "number"); }
  std::string text(const std::string& name) const { return get(texts_, name, "text"); }

 private:
  template <class T>
  static T& make(std::map<std::string, T>& slots, const std::string& name, T value) {
    return slots.try_emplace(name, std::move(value)).first->second;
  }
  template <class T>
  static T get(const std::map<std::string, T>& slots, const std::string& name, const char* kind) {
    const auto found = slots.find(name);
    if (found == slots.end())
      fail(std::string("there is no setting ") + name + " that is of the kind " + kind,
           "the experiment's add_fields makes flags, integers, numbers and texts, each by its own "
           "word");
    return found->second;
  }

  std::map<std::string, bool> flags_;
  std::map<std::string, int64_t> integers_;
  std::map<std::string, double> numbers_;
  std::map<std::string, std::string> texts_;
};

}  // namespace fathom

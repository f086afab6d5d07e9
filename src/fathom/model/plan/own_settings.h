// Values of the settings that an experiment adds, by name. Slots stay where they are while others
// are added, as FieldList asks.
#pragma once

#include <cstdint>
#include <map>
#include <string>

namespace fathom {

class OwnSettings {
 public:
  // The slot, made with this value if there is none yet.
  bool& flag(const std::string& name, bool value) { return slot(flags_, name, value); }
  int64_t& integer(const std::string& name, int64_t value) { return slot(integers_, name, value); }
  double& number(const std::string& name, double value) { return slot(numbers_, name, value); }

  // Throw std::out_of_range where add_fields made no such slot.
  bool flag(const std::string& name) const { return flags_.at(name); }
  int64_t integer(const std::string& name) const { return integers_.at(name); }
  double number(const std::string& name) const { return numbers_.at(name); }

 private:
  template <class T>
  static T& slot(std::map<std::string, T>& slots, const std::string& name, T value) {
    return slots.try_emplace(name, value).first->second;
  }

  std::map<std::string, bool> flags_;
  std::map<std::string, int64_t> integers_;
  std::map<std::string, double> numbers_;
};

}  // namespace fathom

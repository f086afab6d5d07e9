// What the tests of configuration share.
#pragma once

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>
#include <string>

#include "fathom/base/error.h"
#include "fathom/base/utf8.h"
#include "fathom/config/fields.h"

namespace fathom::testing {

// The Error that `action` throws; a failed test and an empty one if it throws none.
template <class Action>
Error refusal_of(Action action) {
  try {
    action();
  } catch (const Error& error) {
    return error;
  }
  ADD_FAILURE() << "nothing was refused";
  return Error(ErrorKind::kFailure, "", "");
}

// Any double but NaN: plain ones, and any pattern of bits.
inline double any_double() {
  if (*rc::gen::arbitrary<bool>()) return *rc::gen::arbitrary<double>();
  const auto bits = *rc::gen::arbitrary<uint64_t>();
  double x = 0;
  std::memcpy(&x, &bits, sizeof x);
  return std::isnan(x) ? 0.0 : x;
}

// Well-formed text with what breaks writers: quotes, backslashes, control characters, comment
// signs, other planes, and words that mean something elsewhere.
inline std::string any_text() {
  if (*rc::gen::inRange(0, 4) == 0)
    return *rc::gen::element<std::string>("none", "None", "null", "true", "1e3", "", "[1]", "a = 1",
                                          "\"\"\"", "'''", "\\", "#", " ", "\n[section]\nn = 1");
  std::string text;
  for (int n = *rc::gen::inRange(0, 12); n > 0; --n) {
    uint32_t code = *rc::gen::weightedOneOf<uint32_t>(
        {{3, rc::gen::inRange<uint32_t>(0, 0x80)},
         {1, rc::gen::inRange<uint32_t>(0x80, 0x110000)},
         {1, rc::gen::element<uint32_t>('"', '\'', '\\', '\n', '\r', '\t', '#', 0x7F, 0x85, 0xFEFF,
                                        0x2028)}});
    if (code >= 0xD800 && code <= 0xDFFF) code = 0xFFFD;
    utf8_append(text, code);
  }
  return text;
}

// A candidate of the field's type; its range may refuse it.
inline Value candidate_for(const Field& field) {
  const auto integer = [] {
    return *rc::gen::oneOf(rc::gen::inRange<int64_t>(0, 100), rc::gen::arbitrary<int64_t>());
  };
  const auto real = [] {
    return *rc::gen::arbitrary<bool>() ? *rc::gen::inRange(0, 1000) / 1000.0 : any_double();
  };
  const auto list_of = [](const auto& make) {
    Value list = Value::array();
    for (int n = *rc::gen::inRange(0, 4); n > 0; --n) list.push_back(make());
    return list;
  };
  const std::string& type = field.type();
  const auto has = [&type](const char* word) { return type.find(word) != std::string::npos; };
  if (!field.choices().empty() && !(has("| list of float") && *rc::gen::arbitrary<bool>()))
    return *rc::gen::elementOf(field.choices());
  if (!field.choices().empty()) return list_of(real);
  if (field.is_text()) return any_text();
  if (has(" or None") && *rc::gen::inRange(0, 4) == 0) return nullptr;
  if (type.rfind("bool", 0) == 0) return *rc::gen::arbitrary<bool>();
  if (type == "list of int") return list_of(integer);
  if (type == "list of float") return list_of(real);
  if (type == "list of lists of int") return list_of([&] { return list_of(integer); });
  if (type.rfind("int", 0) == 0) return integer();
  if (type.rfind("float", 0) == 0) return real();
  ADD_FAILURE() << "a new type of field, " << type << ": say here how to make values of it";
  return nullptr;
}

// Gives every field a random value that it takes.
inline void randomise(FieldList& fields) {
  for (const Field& field : fields.all()) {
    bool taken = false;
    for (int attempt = 0; attempt < 1000 && !taken; ++attempt) {
      // At RapidCheck's smallest size every number would be 0, which may be out of range. The field
      // is copied, for shrinking asks again after the list is gone.
      const auto any =
          rc::gen::resize(100, rc::gen::exec([field] { return candidate_for(field); }));
      try {
        fields.set(field.name(), *any, "test");
        taken = true;
      } catch (const Error&) {
      }
    }
    RC_ASSERT(taken);
  }
}

}  // namespace fathom::testing

// A pickle of plain values, as Python's protocols 2 to 5 write it: dictionaries, texts and whole
// numbers are kept, other values are passed over. Pickles are programs: of their instructions those
// that make such values are followed, and nothing is ever called.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace fathom {

// A dictionary is named by its place in Pickle::dictionaries, for a pickle may have it twice.
struct DictionaryAt {
  size_t place = 0;
};
// Shared, for a pickle may remember one and name it a million times.
using PickleText = std::shared_ptr<const std::string>;
// Anything else: a list, a float, None. What it holds is not kept.
struct PickledOther {};
using PickleItem = std::variant<PickledOther, int64_t, PickleText, DictionaryAt>;
using PicklePairs = std::vector<std::pair<PickleItem, PickleItem>>;

struct Pickle {
  std::vector<PicklePairs> dictionaries;
  size_t root = 0;  // the one that all others are in
};

// Work and memory are in proportion to the bytes. Throws Error that names the file for bytes that
// are no pickle of one dictionary.
Pickle read_pickle(std::string_view bytes, const std::string& name);

// Throws Error: the file `name` "is empty", or whatever it is.
[[noreturn]] void refuse_pickle(const std::string& name, const std::string& what);

}  // namespace fathom

#include "fathom/data/shard_names.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <utility>

#include "fathom/base/error.h"
#include "fathom/base/text.h"

namespace fs = std::filesystem;

namespace fathom {
namespace {

bool take_end(std::string_view& text, std::string_view end) {
  if (text.size() < end.size() || text.substr(text.size() - end.size()) != end) return false;
  text.remove_suffix(end.size());
  return true;
}

// In order of number: of two without leading zeros the longer one is the larger.
bool comes_before(const std::string& a, const std::string& b) {
  return a.size() != b.size() ? a.size() < b.size() : a < b;
}

using Named = std::pair<ShardName, std::string>;  // and the file's name

[[noreturn]] void refuse_both(const std::string& folder, const std::string& split, const Named& a,
                              const Named& b) {
  fail(fmt::format("which shards of {} are the split {}? There are {} and {}", escaped(folder),
                   split, escaped(a.second), escaped(b.second)),
       "move one of the two sets to another folder");
}

}  // namespace

std::optional<ShardName> parse_shard_name(std::string_view file) {
  if (file.empty() || file.front() == '.') return {};
  std::string_view stem = file;
  const bool npy = take_end(stem, ".npy");
  if (!npy && !take_end(stem, ".bin")) return {};
  for (const char* split : {"train", "val"})
    if (stem == split && !npy) return ShardName{split, std::string(file), ""};
  const size_t digits = stem.find_last_not_of("0123456789") + 1;
  std::string_view number = stem.substr(digits), name = stem.substr(0, digits);
  if (number.empty() || !take_end(name, "_")) return {};
  number.remove_prefix(std::min(number.find_first_not_of('0'), number.size() - 1));
  for (const char* split : {"train", "val"}) {
    std::string_view before = name;
    if (!take_end(before, split)) continue;
    const bool bare = before.empty() && !npy;
    if (!bare && !(before.size() > 1 && before.back() == '_')) continue;
    return ShardName{split, fmt::format("{}_N{}", name, npy ? ".npy" : ".bin"),
                     std::string(number)};
  }
  return {};
}

ShardFiles list_shards(const std::string& folder) {
  std::map<std::string, std::vector<Named>> found;
  ShardFiles files;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    const std::string file = it->path().filename().string();
    if (const auto name = parse_shard_name(file))
      found[name->split].emplace_back(*name, file);
    else if (it->path().extension() == ".bin" || it->path().extension() == ".npy")
      files.left.push_back(file);
  }
  if (error) fail(fmt::format("cannot list the folder {}: {}", escaped(folder), error.message()));
  std::sort(files.left.begin(), files.left.end());
  for (auto& [split, named] : found) {
    std::sort(named.begin(), named.end(), [](const Named& a, const Named& b) {
      if (a.first.number != b.first.number) return comes_before(a.first.number, b.first.number);
      return a.second < b.second;
    });
    for (size_t i = 0; i < named.size(); ++i) {
      if (named[i].first.family != named[0].first.family)
        refuse_both(folder, split, named[0], named[i]);
      if (i > 0 && named[i].first.number == named[i - 1].first.number)
        refuse_both(folder, split, named[i - 1], named[i]);
      files.splits[split].push_back(named[i].second);
    }
  }
  return files;
}

}  // namespace fathom

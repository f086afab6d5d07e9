#include "fathom/data/merges.h"

#include <fmt/format.h>

#include <queue>
#include <string_view>
#include <tuple>
#include <unordered_map>

#include "fathom/base/error.h"
#include "fathom/base/text.h"

namespace fathom {
namespace {

using IdOf = std::unordered_map<std::string_view, uint32_t>;

// What the bytes of a token come to by the tokens of lower ids, as ids from left to right. Places
// wait in a heap by the id that they would make, for a token may have thousands of bytes.
std::vector<uint32_t> parts_of(std::string_view token, uint32_t limit, const IdOf& id_of) {
  struct Part {
    uint32_t id;
    size_t end;  // and the place of the part after it
    size_t before;
  };
  const size_t n = token.size();
  std::vector<Part> parts(n);
  using Offer = std::tuple<uint32_t, size_t, size_t>;  // id, place, end of what would be made
  std::priority_queue<Offer, std::vector<Offer>, std::greater<>> offers;
  const auto offer = [&](size_t place) {
    if (parts[place].end == n) return;
    const size_t end = parts[parts[place].end].end;
    const auto made = id_of.find(token.substr(place, end - place));
    if (made != id_of.end() && made->second < limit) offers.emplace(made->second, place, end);
  };
  for (size_t i = 0; i < n; ++i) parts[i] = {id_of.at(token.substr(i, 1)), i + 1, i - 1};
  for (size_t i = 0; i < n; ++i) offer(i);
  std::vector<bool> gone(n);
  while (!offers.empty()) {
    const auto [id, place, end] = offers.top();
    offers.pop();
    // What was offered may have been merged otherwise meanwhile.
    if (gone[place] || parts[place].end == n || parts[parts[place].end].end != end) continue;
    gone[parts[place].end] = true;
    parts[place].id = id;
    parts[place].end = end;
    if (end < n) parts[end].before = place;
    offer(place);
    if (place > 0) offer(parts[place].before);
  }
  std::vector<uint32_t> ids;
  for (size_t i = 0; i < n; i = parts[i].end) ids.push_back(parts[i].id);
  return ids;
}

}  // namespace

std::vector<Merge> merges_of(const BpeVocabulary& vocabulary) {
  validate(vocabulary);
  IdOf id_of;
  for (uint32_t id = 0; id < vocabulary.tokens.size(); ++id) id_of[vocabulary.tokens[id]] = id;
  std::vector<Merge> merges;
  for (uint32_t id = 0; id < vocabulary.tokens.size(); ++id) {
    const std::string& token = vocabulary.tokens[id];
    if (token.size() == 1) continue;
    const std::vector<uint32_t> parts = parts_of(token, id, id_of);
    if (parts.size() != 2)
      fail(fmt::format("token {}, {}, is not made of two tokens before it, but of {}", id,
                       quoted_start(token), parts.size()),
           "byte pairs are made one after the other, each of two that are there");
    merges.push_back({id, parts[0], parts[1]});
  }
  return merges;
}

}  // namespace fathom

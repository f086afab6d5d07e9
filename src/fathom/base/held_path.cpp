#include "fathom/base/held_path.h"

#include <sys/stat.h>

#include <map>
#include <mutex>

namespace fathom {
namespace {

constexpr std::string_view kDescriptors = "/proc/self/fd/";

// Kept when the folder is let go: a message about it may come later. A number that is used again
// is known by its new name.
std::mutex g_mutex;
std::map<int, std::string>& names() {
  static auto* all = new std::map<int, std::string>;
  return *all;
}

}  // namespace

std::string held_path(int descriptor, const std::string& name) {
  std::string path = std::string(kDescriptors) + std::to_string(descriptor);
  struct stat held, there;
  const bool leads_there = fstat(descriptor, &held) == 0 && stat(path.c_str(), &there) == 0 &&
                           held.st_ino == there.st_ino && held.st_dev == there.st_dev;
  if (!leads_there) return name;
  const std::lock_guard<std::mutex> lock(g_mutex);
  names()[descriptor] = name;
  return path;
}

std::string shown_paths(std::string_view text) {
  const std::lock_guard<std::mutex> lock(g_mutex);
  std::string out;
  for (size_t at = 0;;) {
    const size_t found = text.find(kDescriptors, at);
    out += text.substr(at, found - at);
    if (found == std::string_view::npos) return out;
    size_t end = found + kDescriptors.size();
    int number = 0;
    while (end < text.size() && text[end] >= '0' && text[end] <= '9' && number < 1'000'000)
      number = 10 * number + (text[end++] - '0');
    const auto name = names().find(number);
    const bool known = end > found + kDescriptors.size() && name != names().end();
    out += known ? std::string_view(name->second) : text.substr(found, end - found);
    at = end;
  }
}

}  // namespace fathom

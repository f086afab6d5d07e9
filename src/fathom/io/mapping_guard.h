// What becomes of a mapped file that is cut short: without this, touching a page beyond its new end
// is SIGBUS and the end of the process. A handler puts zeros in the place of the pages that are
// lost and marks the mapping; whoever made something of its bytes asks afterwards. For files.cpp.
#pragma once

#include <cstddef>
#include <string>

namespace fathom {

struct GuardedMapping;  // of the list that the handler walks; never freed, for it may be walking

// Installs the handler the first time. A SIGBUS elsewhere does what it did before.
GuardedMapping* guard_mapping(const std::byte* begin, size_t size, const std::string& path);
// Before the pages are unmapped.
void release_mapping(GuardedMapping* mapping) noexcept;

bool was_cut(const GuardedMapping* mapping);
// Its owner knows: require_whole_mappings() has nothing more to say about it.
void mark_told(GuardedMapping* mapping);

}  // namespace fathom

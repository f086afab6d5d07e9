#include "fathom/io/mapping_guard.h"

#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <mutex>
#include <vector>

#include "fathom/io/files.h"

namespace fathom {

struct GuardedMapping {
  std::atomic<uintptr_t> begin{0};  // 0: not in use
  std::atomic<size_t> size{0};
  std::atomic<bool> cut{false}, told{false};
  std::string path;  // not the handler's business
  GuardedMapping* next = nullptr;
};

namespace {

// Everything that the handler touches is atomic and free of locks.
std::atomic<GuardedMapping*> g_first{nullptr};
std::atomic<bool> g_any_cut{false};
struct sigaction g_old_action;

std::mutex& mutex() {
  static std::mutex mutex;
  return mutex;
}
std::vector<GuardedMapping*>& free_list() {
  static auto* list = new std::vector<GuardedMapping*>;  // outlives every static mapping
  return *list;
}

uintptr_t page_size() {
  static const auto size = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  return size;
}

// Zeros from the lost page to the mapping's end; false for an address that is none of ours.
bool replace_lost_pages(uintptr_t address) {
  for (GuardedMapping* m = g_first.load(); m != nullptr; m = m->next) {
    const uintptr_t begin = m->begin.load(), end = begin + m->size.load();
    if (begin == 0 || address < begin || address >= end) continue;
    const uintptr_t page = address & ~(page_size() - 1);
    m->cut.store(true);
    g_any_cut.store(true);
    return ::mmap(reinterpret_cast<void*>(page), end - page, PROT_READ,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != MAP_FAILED;
  }
  return false;
}

extern "C" void on_bus_error(int signal, siginfo_t* info, void*) {
  const int saved = errno;
  const bool is_fault = info->si_code > 0;  // not sent by kill()
  const bool mended = is_fault && replace_lost_pages(reinterpret_cast<uintptr_t>(info->si_addr));
  if (!mended) {
    ::sigaction(SIGBUS, &g_old_action, nullptr);  // the access is made again, and ends as before
    if (!is_fault) ::raise(signal);
  }
  errno = saved;
}

void install_handler() {
  page_size();  // known before the handler asks
  struct sigaction action = {};
  action.sa_sigaction = on_bus_error;
  action.sa_flags = SA_SIGINFO;
  sigemptyset(&action.sa_mask);
  ::sigaction(SIGBUS, &action, &g_old_action);
}

}  // namespace

GuardedMapping* guard_mapping(const std::byte* begin, size_t size, const std::string& path) {
  const std::lock_guard<std::mutex> lock(mutex());
  if (g_first.load() == nullptr) install_handler();
  GuardedMapping* mapping = nullptr;
  if (!free_list().empty()) {
    mapping = free_list().back();
    free_list().pop_back();
  } else {
    mapping = new GuardedMapping;
    mapping->next = g_first.load();
    g_first.store(mapping);
  }
  mapping->path = path;
  mapping->size.store((size + page_size() - 1) & ~(page_size() - 1));
  mapping->begin.store(reinterpret_cast<uintptr_t>(begin));
  return mapping;
}

void release_mapping(GuardedMapping* mapping) noexcept {
  const std::lock_guard<std::mutex> lock(mutex());
  mapping->begin.store(0);
  if (mapping->cut.load() && !mapping->told.load()) return;  // kept, to be told of
  mapping->cut.store(false);
  mapping->told.store(false);
  free_list().push_back(mapping);
}

bool was_cut(const GuardedMapping* mapping) {
  return mapping->cut.load();
}

void mark_told(GuardedMapping* mapping) {
  mapping->told.store(true);
}

void require_whole_mappings() {
  if (!g_any_cut.load()) return;
  const std::lock_guard<std::mutex> lock(mutex());
  for (const GuardedMapping* m = g_first.load(); m != nullptr; m = m->next)
    if (m->cut.load() && !m->told.load()) fail_cut_short(m->path);
}

}  // namespace fathom

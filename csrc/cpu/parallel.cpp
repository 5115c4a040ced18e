#include "parallel.h"

#include <thread>
#include <vector>

namespace voge {
namespace {

voge_parallel_for outer_parallel_for = nullptr;
int threads = 0;

}  // namespace

int thread_count() {
  const int machine = static_cast<int>(std::thread::hardware_concurrency());
  return threads > 0 ? threads : (machine > 0 ? machine : 1);
}

void run_on_threads(int64_t items, voge_body body, void* context) {
  if (items <= 1) {
    if (items == 1) body(0, 1, context);
    return;
  }
  if (outer_parallel_for != nullptr && outer_parallel_for(0, items, 1, body, context) == 0) return;
  std::vector<std::thread> others;
  for (int64_t i = 1; i < items; ++i) others.emplace_back([=] { body(i, i + 1, context); });
  body(0, 1, context);
  for (auto& thread : others) thread.join();
}

}  // namespace voge

void voge_set_parallel_for(voge_parallel_for parallel_for) { voge::outer_parallel_for = parallel_for; }
void voge_set_threads(int32_t threads) { voge::threads = threads; }
int32_t voge_abi_version(void) { return VOGE_ABI_VERSION; }

/**
 * Answers, each kept for as long as its route says: however many ask, and however often, a form of an answer
 * is made once in that time, and once for all who wait for it.
 */
import type { Route, RouteAnswer, RouteRequest } from './route.ts'

/** Of one route: a form is one of few, and a route that makes up more is not to fill the memory. */
const FORMS_MAX = 16

interface Kept {
  readonly answer: Promise<RouteAnswer>
  /** Undefined until it is made. */
  madeAtMs: number | undefined
}

export class KeptAnswers {
  private readonly nowMs: () => number
  private readonly kept: Map<Route, Map<string, Kept>> = new Map()

  /** `nowMs` is of a clock that never goes back. */
  constructor(nowMs: () => number) {
    this.nowMs = nowMs
  }

  /** Rejects with whatever the route throws. */
  answer(route: Route, request: RouteRequest): Promise<RouteAnswer> {
    const form = route.form?.(request) ?? ''
    let forms = this.kept.get(route)
    if (forms === undefined) {
      forms = new Map()
      this.kept.set(route, forms)
    }
    const before = forms.get(form)
    if (before !== undefined && isFresh(before, route.freshMs, this.nowMs())) return before.answer
    return this.make(route, form, forms)
  }

  private make(route: Route, form: string, forms: Map<string, Kept>): Promise<RouteAnswer> {
    const kept: Kept = {
      answer: encoded(route, form),
      madeAtMs: undefined,
    }
    forms.delete(form)
    const [oldest] = forms.keys()
    if (forms.size >= FORMS_MAX && oldest !== undefined) forms.delete(oldest)
    forms.set(form, kept)
    const settle = (): void => {
      kept.madeAtMs = this.nowMs()
    }
    const forget = (): void => {
      if (forms.get(form) === kept) forms.delete(form)
    }
    kept.answer.then(settle, forget)
    return kept.answer
  }
}

/** One that is being made is for whoever asks meanwhile. */
function isFresh({ madeAtMs }: Kept, freshMs: number, nowMs: number): boolean {
  return madeAtMs === undefined || nowMs - madeAtMs < freshMs
}

/** In bytes, so that they are there once for all who are sent them. */
async function encoded(route: Route, form: string): Promise<RouteAnswer> {
  const answer = await route.answer(form)
  return typeof answer.body === 'string' ? { ...answer, body: Buffer.from(answer.body) } : answer
}
